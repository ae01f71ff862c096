package state

import "github.com/ldirectord/ldirectord/sdk"

// Step is which of its two probes a check of checktype = N makes.
type Step uint8

// The steps. The zero value is the negotiate check, which comes first.
const (
	Negotiate Step = iota // by Check.Kind, within Check.Timeout
	Connect               // by Check.ConnectKind, within Check.ConnectTimeout
)

// Cadence says which step is next for a check of checktype = N (ldirectord(8), "checktype"):
// a negotiate first, then N connects between two negotiates. A failed connect makes the next
// step a negotiate, and a failed negotiate is followed by negotiates until one succeeds. A
// step whose outcome is unknown is made again. The zero value always negotiates.
type Cadence struct {
	per  int // connects between two negotiates
	left int // connects before the next negotiate
}

// NewCadence returns the cadence of a check whose Check.ConnectsPer is per.
func NewCadence(per int) Cadence { return Cadence{per: per} }

// Next returns the step to make now.
func (c *Cadence) Next() Step {
	if c.left > 0 {
		return Connect
	}
	return Negotiate
}

// Record takes what the step said.
func (c *Cadence) Record(step Step, status sdk.Status) {
	switch {
	case status == sdk.StatusDown:
		c.left = 0
	case status == sdk.StatusUp && step == Negotiate:
		c.left = c.per
	case status == sdk.StatusUp && c.left > 0:
		c.left--
	}
}
