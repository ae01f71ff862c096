package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
)

// vsftpdConf listens over IPv4 and IPv6 both; it names another address than its own for data, as
// servers behind a virtual service do.
const vsftpdConf = `listen=NO
listen_ipv6=YES
listen_port=%d
background=NO
anonymous_enable=YES
anon_root=/box/files
no_anon_password=NO
local_enable=NO
ftp_username=ftp
nopriv_user=nobody
secure_chroot_dir=/box/empty
pasv_address=192.0.2.1
pasv_min_port=20000
pasv_max_port=60000
write_enable=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
vsftpd_log_file=/box/vsftpd.log
`

// TestVsftpd fetches files from a real server.
func TestVsftpd(t *testing.T) {
	v4 := servers.Addr(t, "127.0.0.1")
	v6 := netip.AddrPortFrom(netip.IPv6Loopback(), v4.Port())
	servers.Server{
		Packages: []string{"vsftpd", "dash", "coreutils"},
		Users:    []string{"ftp", "nobody"},
		Prepare:  "mkdir -p empty files/pub; chmod 755 empty files; head -c 3000000 /dev/zero >files/pub/large",
		Command:  []string{"/bin/sh", "-c", "vsftpd /etc/vsftpd.conf; exit"}, // it cannot be process 1: orphans are that one's
		Files: map[string]string{
			"/etc/vsftpd.conf":         fmt.Sprintf(vsftpdConf, v4.Port()),
			"/box/files/pub/hello.txt": "hello\nworld\n",
		},
		Listens: []netip.AddrPort{v4, v6},
	}.Start(t)
	file := func(request, receive string) sdk.Options { return sdk.Options{"request": request, "receive": receive} }
	for _, addr := range []netip.AddrPort{v4, v6} {
		const limit = 8 * time.Second
		try(t, addr, nil, limit, "up ", "")
		try(t, addr, file("pub/hello.txt", ""), limit, "up ", "")
		try(t, addr, file("/pub/hello.txt", "^hello\nworld$"), limit, "up ", "")
		try(t, addr, file("pub/large", ""), limit, "up ", "")
		try(t, addr, file("pub/large", "x"), limit, "down l7-match", "the first 1048576 bytes")
		try(t, addr, file("pub/hello.txt", "bye"), limit, "down l7-match", "the file of 12 bytes")
		try(t, addr, file("pub/none.txt", ""), limit, "down l7-status", `request: the server answers "550 Failed to open file."`)
		try(t, addr, sdk.Options{"login": "alice", "passwd": "sesame"}, limit, "down l7-auth", `login: the server answers "530 `)
	}
}
