-- PostgreSQL: up when the server takes the login and is the primary, or with option.role = standby
-- when it is in recovery. It speaks the protocol itself (version 3); logins by trust,
-- password and md5.
--
--   login, passwd, database
--   option.role      primary (default) or standby
local login, pass = ld.option("login", "postgres"), ld.option("passwd", "")
local c = ld.tcp(ld.host, ld.port)

local function message(kind, body) c:send(kind .. ld.pack(">I4", #body + 4) .. body) end

local function receive()
	local kind, size = ld.unpack(">c1 I4", c:recv(5))
	return kind, c:recv(size - 4)
end

-- The fields of an error: a letter, then text, each with a zero byte behind it.
local function refuse(code, body)
	exit(ld.down(code, ld.match(body, "(?:^|\\0)M([^\\0]*)") or "an error without a text"))
end

local hello = ld.pack(">I2 I2 z z z z B", 3, 0, "user", login, "database", ld.option("database", login), 0)
message("", hello)
while true do
	local kind, body = receive()
	if kind == "Z" then break end
	if kind == "E" then refuse("l7-auth", body) end
	if kind == "R" then
		local method, at = ld.unpack(">I4", body)
		if method == 3 then
			message("p", pass .. "\0")
		elseif method == 5 then
			local hidden = ld.hex(ld.md5(pass .. login))
			message("p", "md5" .. ld.hex(ld.md5(hidden .. body:sub(at, at + 3))) .. "\0")
		elseif method ~= 0 then
			return ld.unknown("the server wants a login of kind " .. method .. ", which this script lacks")
		end
	end
end

message("Q", "SELECT pg_is_in_recovery()\0")
local standby
while true do
	local kind, body = receive()
	if kind == "Z" then break end
	if kind == "E" then refuse("l7-status", body) end
	if kind == "D" then standby = select(2, ld.unpack(">I2 s4", body)) == "t" end
end
message("X", "")

local role = standby and "standby" or "primary"
if role ~= ld.option("role", "primary") then
	return ld.down("l7-role", "the server is a " .. role)
end
return ld.up(role)
