-- Galera: asks the page that clustercheck or mysqlchk serves beside each MariaDB, usually on port
-- 9200: status 200 when the node is synced, 503 when not.
--
--   option.port      of the page (default 9200); the real server's own port is the database's
--   option.donor     weight of a node whose page says Donor; without it such a node is down
local port = ld.option("port", "9200")
local host = ld.host:find(":") and "[" .. ld.host .. "]" or ld.host
local page = ld.http{url = "http://" .. host .. ":" .. port .. "/", max = 4096}
local text = page.body:gsub("%s+", " ")

if page.status == 200 then return ld.up(text, {weight = 100}) end
local donor = tonumber(ld.option("donor"))
if donor and ld.match(page.body, "(?i)\\bdonor\\b") then
	return ld.up(text, {weight = donor})
end
return ld.down("l7-status", "status " .. page.status .. ": " .. text)
