-- Redis: up when the server has the role it should have, and a replica also hears its master.
--
--   option.role    master (default) or replica
--   passwd         of the default user, or of login
local role = ld.option("role", "master")
local c = ld.tcp(ld.host, ld.port)

local function ask(...)
	local words = {...}
	local out = {"*" .. #words .. "\r\n"} -- RESP: no word needs quotes
	for _, word in ipairs(words) do
		out[#out + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
	end
	c:send(table.concat(out))
	return c:recv()
end

local pass = ld.option("passwd")
if pass then
	local login = ld.option("login")
	local answer = login and ask("AUTH", login, pass) or ask("AUTH", pass)
	if answer ~= "+OK" then return ld.down("l7-auth", answer) end
end

local head = ask("INFO", "replication")
local size = ld.match(head, "^\\$(\\d+)$")
if not size then return ld.down("l7-status", head) end
local info = c:recv(tonumber(size))

local found = ld.match(info, "(?m)^role:(\\w+)\\r?$")
found = found == "slave" and "replica" or found
if found ~= role then
	return ld.down("l7-role", "the server is a " .. tostring(found) .. ", not a " .. role)
end
if role == "replica" and not ld.match(info, "(?m)^master_link_status:up\\r?$") then
	return ld.down("l7-role", "the replica has lost its master")
end
return ld.up(found)
