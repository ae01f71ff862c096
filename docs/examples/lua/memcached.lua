-- memcached: up when it speaks its protocol, is not too old, and has connections left.
--
--   option.version   the oldest one to accept, such as 1.5
--   option.full      down when so many percent of its connections are in use (default 95)
local c = ld.tcp(ld.host, ld.port)

c:send("version\r\n")
local major, minor = c:expect("^VERSION (\\d+)\\.(\\d+)[^\\n]*\\n")
local oldest = ld.option("version")
if oldest then
	local want_major, want_minor = ld.match(oldest, "^(\\d+)\\.(\\d+)")
	local have, want = major * 1000 + minor, want_major * 1000 + want_minor
	if have < want then
		return ld.down("l7-version", "version " .. major .. "." .. minor .. ", want " .. oldest)
	end
end

local function numbers(command)
	local found = {}
	c:send(command .. "\r\n")
	while true do
		local line = c:recv()
		if line == "END" then return found end
		local name, value = ld.match(line, "^STAT (\\S+) (\\S+)$")
		if not name then exit(ld.down("l7-protocol", line)) end
		found[name] = tonumber(value)
	end
end

local used = numbers("stats").curr_connections
local most = numbers("stats settings").maxconns
local percent = math.floor(used / most * 100)
if percent >= tonumber(ld.option("full", "95")) then
	return ld.down("l7-status", used .. " of " .. most .. " connections in use")
end
return ld.up(used .. " of " .. most .. " connections in use")
