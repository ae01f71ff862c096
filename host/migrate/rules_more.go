package migrate

import "github.com/ldirectord/ldirectord/config"

// databaseRules are about mysql, pgsql and oracle.
func databaseRules() []rule {
	return []rule{
		{name: "sql-twice", find: speaking("mysql", "pgsql"),
			was: "the query was made twice, and all rows were read", now: "once, and the first row is read"},
		{name: "pgsql-environment", find: speaking("pgsql"),
			was: "PGPASSWORD, PGSSLMODE and the like of the daemon's environment counted, and password files",
			now: "login, passwd and option.starttls alone"},
		{name: "oracle-client", find: speaking("oracle"),
			was: "Oracle's own client was needed, and its files of names counted", now: "built in; database is the SID"},
	}
}

// otherRules are about the other services.
func otherRules() []rule {
	return []rule{
		{name: "ftp-without-receive", keep: "service = none", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "ftp") && !receives(s), s, "service")
		}),
			was: "without receive always up, even with its port closed",
			now: "up when the login succeeds, and the transfer of request"},
		{name: "ftp-directory", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "ftp") && set(s, "request") != "", s, "request")
		}),
			was: "changed to the root directory, and asked for request",
			now: "asks for the whole path, which is the same file"},
		{name: "ftp-transfer", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "ftp") && receives(s), s, "service")
		}),
			was: "the server connected back for the file (active mode)", now: "the file is fetched in passive mode"},
		{name: "ftp-passwd", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "ftp") && set(s, "passwd") == "", s, "service")
		}),
			was: "without passwd an empty one was sent", now: "ldirectord@ and the director's host name is"},
		{name: "dns-ipv6", find: speaking("dns"),
			was: "AAAA records were not asked for", now: "they are, when no A record is good enough"},
		{name: "nntp-greeting", find: speaking("nntp"),
			was: "any greeting that begins with a 2 was up", now: "200 and 201 alone"},
		{name: "silent-without-receive", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "dns", "simpletcp") && !receives(s), s, "service")
		}),
			was: "without receive always down",
			now: "dns: up with any answer; simpletcp: up when request could be sent"},
		{name: "sip-answers", find: speaking("sip"),
			was: "status 200 alone was up, as the first answer, to one request that said UDP",
			now: "any 2xx, after provisional answers too; the request says what it is sent over, and is sent again over udp"},
		{name: "sip-passwd", find: services(func(_ *config.Config, s *config.Service) []spot {
			found := when(asks(s, "sip") && set(s, "passwd") != "", s, "passwd")
			for i := range found {
				found[i].keep = []Edit{{Instead, found[i].pos.Line, indent + "# no passwd"}}
			}
			return found
		}),
			was: "passwd was not used: a server that asks for it was down",
			now: "it is used"},
		{name: "radius-signature", find: speaking("radius"),
			was: "requests were not signed, and servers that require it ignored them",
			now: "signed with a Message-Authenticator"},
	}
}
