package lvs

import "errors"

// Apply makes e in t, the way the kernel does, and says why not if it refuses. t must not be
// nil. It is what edits mean: every Controller behaves like this, tables in memory are made
// of it, and tests compare with it. It does not know which schedulers there are.
func (t Table) Apply(e Edit) error {
	if err := e.Validate(); err != nil {
		return err
	}
	s, exists := t[e.Key]
	switch e.Op {
	case EnsureService:
		if s.Servers == nil {
			s.Servers = map[ServerKey]RealServer{}
		}
		s.VirtualService = e.Service.Normal(e.Key.Family)
		t[e.Key] = s
	case EnsureServer:
		if !exists {
			return ErrNoService
		}
		if s.Servers == nil {
			s.Servers = map[ServerKey]RealServer{}
			t[e.Key] = s
		}
		s.Servers[e.At] = e.Server
	case UpdateServer:
		if _, ok := s.Servers[e.At]; ok {
			s.Servers[e.At] = e.Server
		}
	case RemoveServer:
		delete(s.Servers, e.At)
	case RemoveService:
		delete(t, e.Key)
	}
	return nil
}

// After returns what counts as asked once a Controller's Apply of edits returned err: last
// with the edits that were made. Refused edits are left out, so the next Plan has them
// again. An err of a type other than *ApplyError says nothing of any edit: then After
// returns a copy of last; read the Controller's table and call Reread before planning on,
// or an edit that was made all the same would be forgotten.
func After(last Table, edits []Edit, err error) Table {
	out := last.Clone()
	refused := map[int]bool{}
	if err != nil {
		var apply *ApplyError
		if !errors.As(err, &apply) {
			return out
		}
		for _, f := range apply.Failed {
			refused[f.Index] = true
		}
	}
	for i, e := range edits {
		if !refused[i] {
			_ = out.Apply(e) // made by the controller, so asked, whatever else last lacks
		}
	}
	return out
}

// Reread returns what counts as asked when nothing is known of edits, which led on from last: of
// the virtual services and real servers that they name, what have has (the
// controller's table, read afterwards); of all others what last has.
func Reread(last Table, edits []Edit, have Table) Table {
	out := last.Clone()
	for _, e := range edits {
		found, exists := have[e.Key]
		asked, known := out[e.Key]
		switch {
		case !exists:
			delete(out, e.Key)
		case !known:
			out[e.Key] = Table{e.Key: found}.Normal()[e.Key]
		case e.Op == EnsureService || e.Op == RemoveService:
			asked.VirtualService = found.VirtualService.Normal(e.Key.Family)
			out[e.Key] = asked
		default:
			if r, ok := found.Servers[e.At]; ok {
				asked.Servers[e.At] = r
			} else {
				delete(asked.Servers, e.At)
			}
		}
	}
	return out
}
