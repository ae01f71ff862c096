// Package guest holds the scripts that give tests and the demonstration a real
// IPVS kernel: run boots Debian's user-mode-linux on the files of this machine
// and runs one command in it, exec does so only where the machine's own kernel
// has no IPVS, kernel says which it is, packages installs what that takes. The
// README has the details.
//
// There is no Go code to import; the tests drive the scripts.
package guest
