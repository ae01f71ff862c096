// Package docs builds the user manual into the program.
package docs

import _ "embed"

// Manual is ldirectord(8), as `ldirectord -h` prints it.
//
//go:embed ldirectord.8.txt
var Manual string
