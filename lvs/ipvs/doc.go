// Package ipvs is the lvs.Controller over the kernel's IPVS table. It is the only
// place that knows netlink bytes.
//
// A plan of up to 16 edits goes edit by edit through github.com/moby/ipvs. Longer ones, and
// what that library cannot say (real servers of another address family than their virtual
// service), go through the encoder of this package, many messages in one write. Everything is read with this package's parser, which
// keeps what the library drops: weights above 65535, the persistence engine, 64-bit counters.
//
// One call at a time talks to the kernel; others wait for their turn. A call that the kernel
// leaves unanswered until its context or Options.Timeout ends is given up: its sockets are
// closed, and the next call opens new ones. As long as the kernel itself does not let go of
// an abandoned call, later ones wait for it, for IPVS has one lock and edits must not
// overtake one another.
package ipvs
