-- One application on two ports: up when both answer. The real server's port has to serve the page
-- /, option.second has to accept connections.
local second = tonumber(ld.option("second"))
if not second then return ld.unknown("option.second is no port") end

local page = ld.http("/")
if page.status ~= 200 then
	return ld.down("l7-status", "port " .. ld.port .. ": status " .. page.status)
end
local ok, failure = pcall(ld.tcp, ld.host, second)
if not ok then
	return ld.down(failure.code, "port " .. second .. ": " .. failure.text)
end
return ld.up()
