package examples

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// luaCase is one run of a script of the cookbook against a real server.
type luaCase struct {
	addr netip.AddrPort
	o    sdk.Options
	want string // status, code, reason and weight, as far as it goes
}

// runLua runs a script of docs/examples/lua until it comes to the verdict: some servers take a while until they
// have come to their senses.
func runLua(t *testing.T, script string, cases ...luaCase) {
	t.Helper()
	check := lua.New(lua.Options{})
	for _, c := range cases {
		options := maps.Clone(c.o)
		if options == nil {
			options = sdk.Options{}
		}
		options["checkcommand"] = filepath.Join(repository(t), "docs/examples/lua", script)
		target := sdk.Target{Service: "external-lua", Network: "tcp", Addr: c.addr, Virtual: netip.MustParseAddrPort("192.0.2.1:1")}
		got := ""
		for over := time.Now().Add(10 * time.Second); time.Now().Before(over); {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			v := check.Probe(ctx, target, options)
			cancel()
			if got = spoken(v); strings.HasPrefix(got, c.want) {
				break
			}
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %v: %s\nwant %s", script, c.o, got, c.want)
		}
	}
}

func spoken(v sdk.Verdict) string {
	words := []string{v.Status.String()}
	if v.Code != "" {
		words = append(words, string(v.Code))
	}
	if v.Weight != nil {
		words = append(words, "weight "+strconv.Itoa(*v.Weight))
	}
	return strings.Join(append(words, v.Reason), " ")
}

// nowhere is an address that nobody listens on.
func nowhere(t *testing.T) netip.AddrPort { return servers.Addr(t, "127.0.0.1") }

func TestLuaRedis(t *testing.T) {
	master, replica, lost := servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1")
	redis := func(at netip.AddrPort, more ...string) {
		args := append([]string{"redis-server", "--port", fmt.Sprint(at.Port()), "--bind", "127.0.0.1", "--save", "", "--dir", "/box",
			"--requirepass", "sesame", "--masterauth", "sesame"}, more...)
		servers.Server{Packages: []string{"redis-server"}, Command: args, Listens: []netip.AddrPort{at}}.Start(t)
	}
	redis(master)
	redis(replica, "--replicaof", "127.0.0.1 "+fmt.Sprint(master.Port()), "--repl-diskless-sync-delay", "0")
	redis(lost, "--replicaof", "127.0.0.1 "+fmt.Sprint(nowhere(t).Port()))
	with := func(more ...string) sdk.Options {
		o := sdk.Options{"passwd": "sesame"}
		for i := 0; i < len(more); i += 2 {
			o[more[i]] = more[i+1]
		}
		return o
	}
	runLua(t, "redis-role.lua",
		luaCase{master, with(), "up master"},
		luaCase{master, with("login", "default"), "up master"},
		luaCase{replica, with("role", "replica"), "up replica"},
		luaCase{replica, with(), "down l7-role the server is a replica, not a master"},
		luaCase{lost, with("role", "replica"), "down l7-role the replica has lost its master"},
		luaCase{master, with("passwd", "wrong"), "down l7-auth -WRONGPASS"},
		luaCase{master, nil, "down l7-status -NOAUTH"},
		luaCase{nowhere(t), with(), "down l4-refused"},
	)
}

const nginxForLua = `
daemon off;
master_process off;
user root;
pid /box/nginx.pid;
error_log /box/error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path /box/b; proxy_temp_path /box/p; fastcgi_temp_path /box/f; uwsgi_temp_path /box/u; scgi_temp_path /box/s;
	server {
		listen 127.0.0.1:%[1]d;
		location = / { return 200 "Galera cluster node is synced.\n"; }
		location = /health { return 200 '{"status":"UP","components":{"db":{"status":"UP"}}}'; }
		location = /sick { return 503 '{"status":"DOWN","components":{"db":{"status":"DOWN"},"mq":{"status":"UP"}}}'; }
		location = /odd { return 200 '<html>'; }
		location = /load.json { return 200 '{"load":[1.0,2,3],"cores":4}'; }
		location = /drain.json { return 200 '{"drain":true}'; }
		location = /none.json { return 200 '{}'; }
	}
	server { listen 127.0.0.1:%[2]d; location = / { return 503 "Galera cluster node is not synced: Donor\n"; } }
	server { listen 127.0.0.1:%[3]d ssl; ssl_certificate /box/cert.pem; ssl_certificate_key /box/key.pem; }
}
`

// pemOf is a certificate for localhost that lasts so long, and its key.
func pemOf(t *testing.T, lasts time.Duration) (cert, key string) {
	t.Helper()
	pair, err := sdktest.Certificate(lasts)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestLuaNginx(t *testing.T) {
	good, bad, secure := servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1")
	cert, key := pemOf(t, 100*24*time.Hour)
	servers.Server{
		Packages: []string{"nginx-light"},
		Command:  []string{"nginx", "-c", "/box/nginx.conf", "-e", "/box/error.log"},
		Files: map[string]string{"/box/nginx.conf": fmt.Sprintf(nginxForLua, good.Port(), bad.Port(), secure.Port()),
			"/box/cert.pem": cert, "/box/key.pem": key},
		Listens: []netip.AddrPort{good, bad, secure},
	}.Start(t)
	port := func(at netip.AddrPort) string { return fmt.Sprint(at.Port()) }
	runLua(t, "galera-clustercheck.lua",
		luaCase{good, sdk.Options{"port": port(good)}, "up weight 100 Galera cluster node is synced."},
		luaCase{good, sdk.Options{"port": port(bad)}, "down l7-status status 503: Galera cluster node is not synced: Donor"},
		luaCase{good, sdk.Options{"port": port(bad), "donor": "5"}, "up weight 5 Galera"},
		luaCase{good, sdk.Options{"port": port(nowhere(t))}, "down l4-refused"},
	)
	runLua(t, "json-health.lua",
		luaCase{good, nil, "up"},
		luaCase{good, sdk.Options{"request": "/sick"}, "down l7-status db DOWN"},
		luaCase{good, sdk.Options{"request": "/odd"}, "down l7-protocol not valid JSON: invalid character '<'"},
		luaCase{good, sdk.Options{"request": "/missing"}, "down l7-status status 404"},
	)
	runLua(t, "two-ports.lua",
		luaCase{good, sdk.Options{"second": port(secure)}, "up"},
		luaCase{good, sdk.Options{"second": port(nowhere(t))}, "down l4-refused port "},
		luaCase{bad, sdk.Options{"second": port(secure)}, "down l7-status port " + port(bad) + ": status 503"},
		luaCase{good, nil, "unknown fault option.second"},
	)
	runLua(t, "certificate-days.lua",
		luaCase{secure, nil, "up 99 days left"},
		luaCase{secure, sdk.Options{"days": "200"}, "down l6-certificate the certificate lasts for 99 days"},
		luaCase{secure, sdk.Options{"name": "www.example.org"}, "down l6-certificate the certificate is not for www.example.org"},
		luaCase{good, nil, "down l6-tls"},
	)
	runLua(t, "load-weight.lua",
		luaCase{good, nil, "up weight 75 load 1 on 4 cores"},
		luaCase{good, sdk.Options{"most": "1000"}, "up weight 750"},
		luaCase{good, sdk.Options{"request": "/drain.json"}, "up weight 0 draining"},
		luaCase{good, sdk.Options{"request": "/none.json"}, "down l7-protocol no load in the page"},
	)
}

func TestLuaMemcached(t *testing.T) {
	addr := servers.Addr(t, "127.0.0.1")
	servers.Server{Packages: []string{"memcached"},
		Command: []string{"memcached", "-u", "root", "-l", "127.0.0.1", "-p", fmt.Sprint(addr.Port()), "-U", "0", "-c", "100"},
		Listens: []netip.AddrPort{addr}}.Start(t)
	runLua(t, "memcached.lua",
		luaCase{addr, sdk.Options{"version": "1.5"}, "up "},
		luaCase{addr, sdk.Options{"version": "9.0"}, "down l7-version version 1."},
		luaCase{addr, sdk.Options{"full": "0"}, "down l7-status "},
		luaCase{nowhere(t), nil, "down l4-refused"},
	)
}

const nsdForLua = `server:
	ip-address: 127.0.0.1
	port: %d
	zonesdir: /box
	database: ""
	pidfile: /box/nsd.pid
	zonelistfile: /box/zone.list
	xfrdfile: /box/xfrd.state
	username: ""
	server-count: 1
remote-control:
	control-enable: no
zone:
	name: example.com
	zonefile: example.zone
`

func TestLuaDNS(t *testing.T) {
	nsd := func(serial uint32) netip.AddrPort {
		addr := servers.Addr(t, "127.0.0.1")
		servers.Server{Packages: []string{"nsd"}, Command: []string{"nsd", "-d", "-c", "/box/nsd.conf"},
			Files: map[string]string{"/box/nsd.conf": fmt.Sprintf(nsdForLua, addr.Port()),
				"/box/example.zone": fmt.Sprintf("$ORIGIN example.com.\n$TTL 60\n@ SOA ns admin %d 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n", serial)},
			Listens: []netip.AddrPort{addr}}.Start(t)
		return addr
	}
	primary, stale, wrapped := nsd(7), nsd(5), nsd(4294967295)
	with := func(primary netip.AddrPort, behind string) sdk.Options {
		return sdk.Options{"zone": "example.com", "primary": primary.String(), "behind": behind}
	}
	runLua(t, "dns-serial.lua",
		luaCase{primary, with(primary, "0"), "up serial 7"},
		luaCase{stale, with(primary, "0"), "down l7-stale serial 5, the primary has 7"},
		luaCase{stale, with(primary, "2"), "up serial 5"},
		luaCase{primary, with(stale, "0"), "up serial 7"},
		luaCase{wrapped, with(primary, "0"), "down l7-stale serial 4294967295, the primary has 7"},
		luaCase{primary, sdk.Options{"zone": "example.org", "primary": primary.String()}, "down l7-status REFUSED for example.org."},
		luaCase{primary, with(nowhere(t), "0"), "unknown fault primary 127.0.0.1:"},
		luaCase{nowhere(t), with(primary, "0"), "down l4-refused"},
	)
}

const eximForLua = `primary_hostname = mail.example.com
daemon_smtp_ports = %[1]d : %[2]d : %[3]d
local_interfaces = 127.0.0.1
spool_directory = /box/spool
log_file_path = /box/%%slog.log
tls_advertise_hosts = ${if eq{$received_port}{%[2]d}{}{*}}
tls_certificate = /box/cert.pem
tls_privatekey = /box/key.pem
helo_accept_junk_hosts =
host_lookup =
acl_smtp_connect = ${if eq{$received_port}{%[3]d}{closed}{open}}
begin acl
open:
	accept
closed:
	deny message = closed for repairs
begin routers
begin transports
`

func TestLuaSMTP(t *testing.T) {
	open, plain, closed := servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1")
	cert, key := pemOf(t, 100*24*time.Hour)
	servers.Server{Packages: []string{"exim4-daemon-light"}, Users: []string{"Debian-exim"},
		Command: []string{"exim4", "-C", "/box/exim.conf", "-bdf"},
		Files: map[string]string{"/box/exim.conf": fmt.Sprintf(eximForLua, open.Port(), plain.Port(), closed.Port()),
			"/box/cert.pem": cert, "/box/key.pem": key},
		Listens: []netip.AddrPort{open, plain, closed}}.Start(t)
	runLua(t, "smtp-starttls.lua",
		luaCase{open, nil, "up TLS 1."},
		luaCase{plain, nil, "down l7-status the server does not offer STARTTLS"},
		luaCase{closed, nil, "down l7-status 550 closed for repairs"},
		luaCase{open, sdk.Options{"verify": "yes", "name": "mail.example.com"}, "down l6-tls"},
	)
}

const postgresForLua = `PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
as="setpriv --reuid=postgres --regid=postgres --clear-groups"
$as initdb -D /box/data -U postgres -A trust --no-sync >/box/initdb.log 2>&1
$as cp /box/pg_hba.conf data/
$as postgres --single -D /box/data postgres </box/users.sql >/box/users.log 2>&1
cat /box/postgresql.conf >>data/postgresql.conf
`

// The standby is a server that waits for more of the log: it is in recovery, and answers.
func TestLuaPostgres(t *testing.T) {
	postgres := func(standby bool) netip.AddrPort {
		addr := servers.Addr(t, "127.0.0.1")
		prepare := postgresForLua
		if standby {
			prepare += "$as touch data/standby.signal\n"
		}
		servers.Server{Packages: []string{"postgresql", "coreutils", "dash", "util-linux"}, Users: []string{"postgres"}, Prepare: prepare,
			Command: []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "postgres", "-D", "/box/data"},
			Files: map[string]string{
				"/box/postgresql.conf": fmt.Sprintf("port = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"+
					"shared_buffers = 1MB\ndynamic_shared_memory_type = mmap\nhot_standby = on\n", addr.Port()),
				"/box/pg_hba.conf": "host all check_md5 all md5\nhost all check_plain all password\nhost all postgres all trust\nhost all check_scram all scram-sha-256\n",
				"/box/users.sql": "SET password_encryption = 'md5';\nCREATE ROLE check_md5 LOGIN PASSWORD 'sesame';\nCREATE ROLE check_plain LOGIN PASSWORD 'sesame';\n" +
					"SET password_encryption = 'scram-sha-256';\nCREATE ROLE check_scram LOGIN PASSWORD 'sesame';\n",
			},
			Listens: []netip.AddrPort{addr}}.Start(t)
		return addr
	}
	primary, standby := postgres(false), postgres(true)
	with := func(login, pass, role string) sdk.Options {
		return sdk.Options{"login": login, "passwd": pass, "database": "postgres", "role": role}
	}
	runLua(t, "postgres-primary.lua",
		luaCase{primary, nil, "up primary"},
		luaCase{primary, with("check_md5", "sesame", "primary"), "up primary"},
		luaCase{primary, with("check_plain", "sesame", "primary"), "up primary"},
		luaCase{primary, with("check_md5", "wrong", "primary"), "down l7-auth password authentication failed"},
		luaCase{primary, with("check_scram", "sesame", "primary"), "unknown fault the server wants a login of kind 10"},
		luaCase{primary, with("postgres", "", "standby"), "down l7-role the server is a primary"},
		luaCase{standby, with("check_md5", "sesame", "standby"), "up standby"},
		luaCase{standby, nil, "down l7-role the server is a standby"},
	)
}

// Every script of the cookbook is in it, and tried here.
func TestLuaCookbook(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(repository(t), "docs/examples/lua/*.lua"))
	if err != nil || len(scripts) < 10 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	book, err := os.ReadFile(filepath.Join(repository(t), "docs/lua-cookbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("lua_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		name := filepath.Base(path)
		if !strings.Contains(string(book), "](examples/lua/"+name+")") {
			t.Errorf("%s is not in docs/lua-cookbook.md", name)
		}
		if !strings.Contains(string(tests), `runLua(t, "`+name+`"`) {
			t.Errorf("%s is not tried", name)
		}
	}
}
