package servers

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// A database server of this package has the database shop, with the tables alive (one row) and empty (none) that
// the accounts below may read and update. The password of all is "sesame", where they have one. Started again in the
// same directory it goes on with what it had.

// mariadbPrepare makes the system's tables as mariadb-install-db does, and the test's own.
const mariadbPrepare = `[ ! -d data ] || return 0
mkdir data
{
	echo "CREATE DATABASE IF NOT EXISTS mysql;"
	echo "USE mysql;"
	cat /usr/share/mysql/mysql_system_tables.sql /usr/share/mysql/mysql_system_tables_data.sql
	cat /box/users.sql
} | mariadbd --defaults-file=/box/mariadb.cnf --bootstrap >/box/bootstrap.log 2>&1
`

const mariadbUsers = `FLUSH PRIVILEGES;
CREATE DATABASE shop;
CREATE TABLE shop.alive (n INT, at DATETIME);
INSERT INTO shop.alive VALUES (1, NOW());
CREATE TABLE shop.empty (n INT);
CREATE USER check_native@'%' IDENTIFIED BY 'sesame';
CREATE USER check_none@'%';
CREATE USER check_tls@'%' IDENTIFIED BY 'sesame' REQUIRE SSL;
CREATE USER check_locked@'%' IDENTIFIED BY 'sesame' ACCOUNT LOCK;
GRANT SELECT, UPDATE ON shop.* TO check_native@'%', check_none@'%', check_tls@'%';
`

const mariadbConf = `[mariadbd]
user = root
datadir = /box/data
socket = /box/mariadb.sock
pid-file = /box/mariadb.pid
log-error = /box/mariadb.log
port = %d
bind-address = %s
skip-name-resolve
innodb-buffer-pool-size = 8M
# 8 TB of addresses otherwise, which a user-mode kernel has not
loose-innodb-buffer-pool-size-max = 8M
innodb-log-file-size = 4M
`

// MariaDB is a server on a port of some addresses. Its accounts are check_native, check_none (no password), check_tls
// (over TLS alone) and check_locked. With secure it offers TLS.
func MariaDB(secure bool, port uint16, hosts ...netip.Addr) (Server, error) {
	s := Server{
		Packages: []string{"mariadb-server", "coreutils", "dash"},
		Users:    []string{"mysql"},
		Prepare:  mariadbPrepare,
		Command:  []string{"mariadbd", "--defaults-file=/box/mariadb.cnf"},
		Files:    map[string]string{"/box/users.sql": mariadbUsers},
	}
	conf := fmt.Sprintf(mariadbConf, port, s.listen(port, hosts))
	if secure {
		conf += "ssl-cert = /box/cert.pem\nssl-key = /box/key.pem\n"
	}
	s.Files["/box/mariadb.cnf"] = conf
	return s, s.certify()
}

// postgresPrepare makes a cluster, as a user that is not root: the server insists on that.
const postgresPrepare = `PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
[ ! -d data ] || return 0
chown -R postgres:postgres /box
chmod 600 key.pem
setpriv --reuid=postgres --regid=postgres --clear-groups initdb -D /box/data -U postgres -A trust --no-sync >/box/initdb.log 2>&1
setpriv --reuid=postgres --regid=postgres --clear-groups cp /box/pg_hba.conf data/
setpriv --reuid=postgres --regid=postgres --clear-groups postgres --single -D /box/data postgres </box/users.sql >/box/users.log 2>&1
setpriv --reuid=postgres --regid=postgres --clear-groups postgres --single -D /box/data shop </box/tables.sql >/box/tables.log 2>&1
cat /box/postgresql.conf >>data/postgresql.conf
`

const postgresUsers = `CREATE ROLE check_scram LOGIN PASSWORD 'sesame';
SET password_encryption = 'md5';
CREATE ROLE check_md5 LOGIN PASSWORD 'sesame';
CREATE ROLE check_plain LOGIN PASSWORD 'sesame';
CREATE ROLE check_none LOGIN;
CREATE ROLE check_tls LOGIN PASSWORD 'sesame';
CREATE ROLE check_bare LOGIN PASSWORD 'sesame';
CREATE ROLE check_nobody LOGIN PASSWORD 'sesame';
CREATE DATABASE shop;
`

const postgresTables = `CREATE TABLE alive (n int, at timestamp);
INSERT INTO alive VALUES (1, now());
CREATE TABLE empty (n int);
GRANT SELECT, UPDATE ON alive, empty TO public;
`

// postgresHBA says who may log in how; hostssl and hostnossl are those over TLS alone, and not over it.
const postgresHBA = `host      all check_scram  all scram-sha-256
host      all check_md5    all md5
host      all check_plain  all password
host      all check_none   all trust
hostssl   all check_tls    all md5
hostnossl all check_bare   all md5
host      all check_nobody all reject
`

const postgresConf = `port = %d
listen_addresses = '%s'
unix_socket_directories = ''
fsync = off
shared_buffers = 1MB
max_wal_size = 32MB
wal_level = minimal
max_wal_senders = 0
dynamic_shared_memory_type = mmap
`

// Postgres is a server on a port of some addresses. Its accounts are called after how they log in: check_scram,
// check_md5, check_plain, check_none, check_tls (over TLS alone), check_bare (not over TLS), and check_nobody, who
// may not. With secure it offers TLS. It listens before it lets anybody in.
func Postgres(secure bool, port uint16, hosts ...netip.Addr) (Server, error) {
	s := Server{
		Packages: []string{"postgresql", "coreutils", "dash", "util-linux"},
		Users:    []string{"postgres"},
		Prepare:  postgresPrepare,
		Command:  []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "postgres", "-D", "/box/data"},
		Files: map[string]string{
			"/box/pg_hba.conf": postgresHBA,
			"/box/users.sql":   postgresUsers,
			"/box/tables.sql":  postgresTables,
		},
	}
	conf := fmt.Sprintf(postgresConf, port, s.listen(port, hosts))
	if secure {
		conf += "ssl = on\nssl_cert_file = '/box/cert.pem'\nssl_key_file = '/box/key.pem'\n"
	}
	s.Files["/box/postgresql.conf"] = conf
	return s, s.certify()
}

// listen sets where the server listens, and lists the hosts with commas.
func (s *Server) listen(port uint16, hosts []netip.Addr) string {
	var names []string
	for _, host := range hosts {
		s.Listens = append(s.Listens, netip.AddrPortFrom(host, port))
		names = append(names, host.String())
	}
	return strings.Join(names, ",")
}

// certify gives the server a certificate of its own and the key, in cert.pem and key.pem.
func (s *Server) certify() error {
	pair, err := sdktest.Certificate(100 * 24 * time.Hour)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	s.Files["/box/cert.pem"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	s.Files["/box/key.pem"] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return nil
}
