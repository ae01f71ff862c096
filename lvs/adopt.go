package lvs

// Adopt returns the part of the kernel's table that takes the place of "asked last" when
// nothing was asked yet: the virtual services of have that are also in want, with all their
// real servers. Then Plan(Adopt(have, want), want) changes existing virtual services in
// place, removes real servers that want does not know, and never names a virtual service of
// somebody else. The result shares nothing with have.
func Adopt(have, want Table) Table {
	out := Table{}
	for k := range want {
		if s, ok := have[k]; ok {
			out[k] = s
		}
	}
	return out.Normal()
}
