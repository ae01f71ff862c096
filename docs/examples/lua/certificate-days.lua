-- TLS: down when the certificate does not last for option.days more (default 7), or is not for
-- option.name. Days are counted on this machine's clock.
local days, name = tonumber(ld.option("days", "7")), ld.option("name")
local c = ld.tcp(ld.host, ld.port, {tls = true, sni = name})
local cert = c:peercert()

local left = math.floor((cert.not_after - ld.now()) / 86400)
if left < days then
	return ld.down("l6-certificate", "the certificate lasts for " .. left .. " days")
end
if name then
	local found = false
	for _, one in ipairs(cert.names) do
		local wild = ld.match(one, "^\\*(\\..+)$")
		found = found or one == name or wild and ld.match(name, "^[^.]+(\\..+)$") == wild
	end
	if not found then return ld.down("l6-certificate", "the certificate is not for " .. name) end
end
return ld.up(left .. " days left")
