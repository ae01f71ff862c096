package ipvs

import (
	"encoding/binary"
	"errors"
	"syscall"
)

// Generic netlink commands and attributes of IPVS, from linux/ip_vs.h.
const (
	cmdNewService = 1
	cmdSetService = 2
	cmdDelService = 3
	cmdGetService = 4
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7
	cmdGetDest    = 8
	cmdGetInfo    = 15

	attrService = 1 // of a command: nested
	attrDest    = 2

	svcFamily    = 1
	svcProtocol  = 2
	svcAddr      = 3
	svcPort      = 4 // big-endian
	svcMark      = 5
	svcScheduler = 6
	svcFlags     = 7 // flags and mask, 32 bits each
	svcTimeout   = 8
	svcNetmask   = 9
	svcPEName    = 11

	destAddr       = 1
	destPort       = 2 // big-endian
	destMethod     = 3
	destWeight     = 4
	destUpper      = 5
	destLower      = 6
	destActive     = 7
	destInactive   = 8
	destPersistent = 9
	destStats      = 10
	destFamily     = 11
	destStats64    = 12

	statConns    = 1
	statInPkts   = 2
	statOutPkts  = 3
	statInBytes  = 4
	statOutBytes = 5

	flagPersistent = 1
	flagOnePacket  = 4
	schedFlagShift = 3 // lvs.SchedFlag1 is 8 here

	methodMask   = 7
	methodMasq   = 0
	methodTunnel = 2
	methodRoute  = 3
)

// The control family of generic netlink, from linux/genetlink.h.
const (
	ctrlFamily       = 16
	ctrlGetFamily    = 3
	ctrlAttrFamilyID = 1
	ctrlAttrName     = 2
)

const (
	messageHeader = 16 // struct nlmsghdr
	genericHeader = 4  // struct genlmsghdr: command, version, two reserved bytes
	attrHeader    = 4  // struct nlattr
	attrTypeMask  = 0x3fff
)

// errMalformed is an answer whose lengths do not add up. It closes the socket.
var errMalformed = errors.New("malformed netlink message")

func align(n int) int { return (n + 3) &^ 3 }

// appendAttr appends one attribute, padded.
func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func appendU16(b []byte, kind uint16, v uint16) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint16(nil, v))
}

func appendU32(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, v))
}

// appendPort appends a port, which is in network byte order.
func appendPort(b []byte, kind uint16, v uint16) []byte {
	return appendAttr(b, kind, binary.BigEndian.AppendUint16(nil, v))
}

// appendText appends a string with its final zero.
func appendText(b []byte, kind uint16, v string) []byte {
	return appendAttr(b, kind, append([]byte(v), 0))
}

// nest appends an attribute whose value is what fill appends.
func nest(b []byte, kind uint16, fill func([]byte) []byte) []byte {
	start := len(b)
	b = fill(appendAttr(b, kind, nil))
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// fields are the attributes of one nesting, by type. Types that are not read are dropped.
type fields struct {
	value [16][]byte
	err   error // the first value of a wrong length
}

// parseFields reads attributes; of one that comes twice, the last.
func parseFields(b []byte) (*fields, error) {
	f := &fields{}
	for len(b) > 0 {
		if len(b) < attrHeader {
			return nil, errMalformed
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < attrHeader || n > len(b) {
			return nil, errMalformed
		}
		if kind := binary.NativeEndian.Uint16(b[2:]) & attrTypeMask; int(kind) < len(f.value) {
			f.value[kind] = b[attrHeader:n]
		}
		b = b[min(align(n), len(b)):]
	}
	return f, nil
}

// sized returns a value of at least n bytes, or nil when it is absent.
func (f *fields) sized(kind, n int) []byte {
	v := f.value[kind]
	if v != nil && len(v) < n {
		f.err = errMalformed
		return nil
	}
	return v
}

// The getters return 0 for what is absent.

func (f *fields) u16(kind int) uint16 {
	if v := f.sized(kind, 2); v != nil {
		return binary.NativeEndian.Uint16(v)
	}
	return 0
}

func (f *fields) port(kind int) uint16 {
	if v := f.sized(kind, 2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (f *fields) u32(kind int) uint32 {
	if v := f.sized(kind, 4); v != nil {
		return binary.NativeEndian.Uint32(v)
	}
	return 0
}

func (f *fields) u64(kind int) uint64 {
	if v := f.sized(kind, 8); v != nil {
		return binary.NativeEndian.Uint64(v)
	}
	return 0
}

func (f *fields) text(kind int) string {
	v := f.value[kind]
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// message is one netlink message that was received.
type message struct {
	kind, flags uint16
	seq         uint32
	data        []byte
}

// parseMessages splits what one read returned.
func parseMessages(b []byte) ([]message, error) {
	var out []message
	for len(b) > 0 {
		if len(b) < messageHeader {
			return nil, errMalformed
		}
		n := binary.NativeEndian.Uint32(b)
		if n < messageHeader || int64(n) > int64(len(b)) {
			return nil, errMalformed
		}
		out = append(out, message{
			kind:  binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			data:  b[messageHeader:n],
		})
		b = b[min(align(int(n)), len(b)):]
	}
	return out, nil
}

// status returns the error number of an NLMSG_ERROR or NLMSG_DONE; 0 is success.
func (m message) status() (syscall.Errno, error) {
	if m.kind == syscall.NLMSG_DONE && len(m.data) == 0 {
		return 0, nil
	}
	if len(m.data) < 4 {
		return 0, errMalformed
	}
	return syscall.Errno(-int32(binary.NativeEndian.Uint32(m.data))), nil
}
