-- A health page in JSON, such as {"status":"UP","components":{"db":{"status":"UP"}}}: up when the
-- status and that of every component are UP. What is down is named.
--
--   request          the page (default /health)
--   virtualhost      the name to ask for
local page = ld.http{url = ld.option("request", "/health"), host = ld.option("virtualhost")}
if page.status ~= 200 and page.status ~= 503 then
	return ld.down("l7-status", "status " .. page.status)
end
local health = ld.json.decode(page.body)

local bad = {}
for name, part in pairs(health.components or {}) do
	if part.status ~= "UP" then bad[#bad + 1] = name .. " " .. tostring(part.status) end
end
table.sort(bad)
if #bad > 0 then return ld.down("l7-status", table.concat(bad, ", ")) end
if health.status ~= "UP" then return ld.down("l7-status", tostring(health.status)) end
return ld.up()
