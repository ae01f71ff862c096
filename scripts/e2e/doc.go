// Package e2e tells stories about the whole director on a real IPVS table: its real
// program, real plugin processes, a real kernel. The stories are scripts in testdata.
//
// Each story has a network namespace of its own. It needs IPVS in the kernel; `make test`
// runs it where that is.
package e2e
