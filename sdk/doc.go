// Package sdk is what a check is written against: a Target to look at, the
// author's own options, and a Verdict to give back.
//
// A check author fills in a Check and hands it to serve.Main; the director holds
// every check, whether a plugin process or built in, as a Checker. The package
// imports the standard library alone.
package sdk
