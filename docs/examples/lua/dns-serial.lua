-- A secondary name server: up when its zone is as new as the primary's. A primary that does not
-- answer says nothing of the secondary.
--
--   option.zone      such as example.com
--   option.primary   ADDRESS or ADDRESS:PORT
--   option.behind    how far the serial may be behind (default 0)
local zone, primary = ld.option("zone"), ld.option("primary")
local host = ld.host:find(":") and "[" .. ld.host .. "]" or ld.host

local function serial(server)
	local records = ld.dns(zone, "SOA", server)
	if not records[1] then exit(ld.down("l7-status", "no SOA record of " .. zone)) end
	if not records.authoritative then exit(ld.down("l7-status", "not authoritative for " .. zone)) end
	return records[1].serial
end

local have = serial(host .. ":" .. ld.port)
local ok, want = pcall(serial, primary)
if not ok then return ld.unknown("primary " .. primary .. ": " .. want.text) end

-- Serials wrap around at 2^32 (RFC 1982).
local behind = (want - have) % 2^32
if behind >= 2^31 then behind = 0 end -- ahead
if behind > tonumber(ld.option("behind", "0")) then
	return ld.down("l7-stale", "serial " .. have .. ", the primary has " .. want)
end
return ld.up("serial " .. have)
