// Package lvs holds the values of Linux Virtual Server (IPVS): virtual services and
// real servers, tables of them, and the edits that lead from one table to another.
//
// Everything here is a value and pure: the kernel is behind Controller, whose
// implementation over netlink is lvs/ipvs. The package imports the standard library alone.
package lvs
