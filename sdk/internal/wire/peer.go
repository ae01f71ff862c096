package wire

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
)

// dialPeer connects to the plugin's socket and lets the kernel say who listens there
// (SO_PEERCRED, unix(7)): it must be a process of the plugin's group, of the plugin's user.
// It stands in for certificates, and is asked again at each connection.
func (c *child) dialPeer(ctx context.Context, _ string) (net.Conn, error) {
	c.mu.Lock()
	socket := c.socket
	c.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if err := c.checkPeer(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("socket %s: %w", socket, err)
	}
	return conn, nil
}

func (c *child) checkPeer(conn net.Conn) error {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("unexpected connection %T", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return err
	}
	var peer *syscall.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil {
		return err
	}
	if peerErr != nil {
		return fmt.Errorf("who listens: %w", peerErr)
	}
	uid := uint32(os.Geteuid())
	if attr := c.cmd.SysProcAttr; attr.Credential != nil {
		uid = attr.Credential.Uid
	}
	group, err := syscall.Getpgid(int(peer.Pid))
	if err != nil || group != c.pid() || peer.Uid != uid {
		return fmt.Errorf("process %d of user %d listens, which is not the plugin", peer.Pid, peer.Uid)
	}
	return nil
}
