-- Weight by load: the page says {"load":[0.5,0.7,0.9],"cores":4,"drain":false}. An idle server gets
-- option.most (default 100), a loaded one less, and one that drains gets 0: it is up, and gets no new
-- connections.
--
--   request          the page (default /load.json)
local most = tonumber(ld.option("most", "100"))
local page = ld.http(ld.option("request", "/load.json"))
if page.status ~= 200 then return ld.down("l7-status", "status " .. page.status) end
local state = ld.json.decode(page.body)
if state.drain == true then return ld.up("draining", {weight = 0}) end

local load = state.load and state.load[1]
if type(load) ~= "number" or type(state.cores) ~= "number" or state.cores < 1 then
	return ld.down("l7-protocol", "no load in the page")
end
local weight = math.floor(most * (1 - load / state.cores) + 0.5)
return ld.up("load " .. load .. " on " .. state.cores .. " cores", {weight = math.min(most, math.max(1, weight))})
