// Package e2e tells stories about the whole director on a real IPVS table: its real
// program, real plugin processes, a real kernel. The stories are scripts in testdata.
//
// Each story has a network namespace of its own. It needs IPVS in the kernel; `make test`
// runs it where that is.
//
// The scenarios in testdata/reference are for two programs, the Perl ldirectord and ours: each command happens to
// both, and what comes of it has to be the same. See run, words, launch, signalBoth, end, shell, fakeServer and realServer for
// what can happen, same and alike for what is compared, differs for what may differ, and world.furnish for the
// files below world/.
package e2e
