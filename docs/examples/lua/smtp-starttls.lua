-- SMTP: up when the server offers STARTTLS, the handshake succeeds, and it greets again under TLS.
--
--   option.helo      the name to introduce ourselves by
--   option.verify    yes: the certificate has to be good for option.name
local c = ld.tcp(ld.host, ld.port)
local helo = ld.option("helo", "ldirectord.invalid")

-- An answer of several lines has a dash behind the code in all but the last (RFC 5321, 4.2.1).
local function answer(want)
	local all = {}
	repeat
		local line = c:recv()
		local code, dash, text = ld.match(line, "^(\\d{3})([ -]?)(.*)$")
		if code ~= want then ld.log("error", line) exit(ld.down("l7-status", line)) end
		all[#all + 1] = text
	until dash ~= "-"
	return table.concat(all, "\n")
end

answer("220")
c:send("EHLO " .. helo .. "\r\n")
if not ld.match(answer("250"), "(?im)^STARTTLS$") then
	return ld.down("l7-status", "the server does not offer STARTTLS")
end
c:send("STARTTLS\r\n")
answer("220")
c:starttls{verify = ld.option("verify") == "yes", sni = ld.option("name")}
c:send("EHLO " .. helo .. "\r\n")
answer("250")
c:send("QUIT\r\n")
return ld.up(c:peercert().version)
