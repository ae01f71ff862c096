package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaintenanceRow is one file of maintenancedir.
type MaintenanceRow struct {
	File    string    `json:"file"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`   // its last change
	Servers []string  `json:"servers"` // "R (V)", as in the log; none: it is about nobody
}

// PrintMaintenance writes what `maintenance list` shows: a line for each file, and below it whom it is
// about; with machine a JSON array.
func PrintMaintenance(w io.Writer, rows []MaintenanceRow, machine bool) error {
	if machine {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	var b strings.Builder
	for _, r := range rows {
		line := printable(r.File, 255) + "  since " + r.Since.Format("2006-01-02 15:04:05")
		if r.Reason != "" {
			line += "  " + printable(r.Reason, 256)
		}
		fmt.Fprintln(&b, line)
		for _, s := range r.Servers {
			fmt.Fprintln(&b, "  -> "+printable(s, 256))
		}
		if len(r.Servers) == 0 {
			fmt.Fprintln(&b, "  -> no real server of the configuration")
		}
	}
	if len(rows) == 0 {
		fmt.Fprintln(&b, "nobody is in maintenance")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
