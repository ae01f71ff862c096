package engine_test

import (
	"testing"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

func TestObservationsOfAMonitoredServiceAreHandedOn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var seen []state.Sighting
		w.options.Observed = func(s []state.Sighting) { seen = append(seen, s...) }
		w.start(section(func(s *config.Service) { s.MonitorFile = "/run/m" }))
		w.say(one, sdk.Up())
		w.say(two, down())
		w.say(one, sdk.Unknown("no descriptor"))
		if len(seen) != 3 || seen[0].Service.MonitorFile != "/run/m" || seen[1].Verdict.Reason != "connection refused" {
			t.Errorf("%+v", seen)
		}
		if err := w.Reload(t.Context(), section(nil)); err != nil {
			t.Fatal(err)
		}
		w.say(one, sdk.Up())
		if len(seen) != 3 {
			t.Errorf("after the monitorfile was taken out: %+v", seen[3:])
		}
	})
}
