package lvs

// Counters is what the kernel counts for one real server of one virtual service. The kernel sums
// them up every two seconds, so they lag.
type Counters struct {
	Active     uint32 // connections now established (ActiveConn of ipvsadm -L)
	Inactive   uint32 // connections now in any other state (InActConn)
	Persistent uint32 // persistence templates now held
	// Since the real server entered the table:
	Connections, PacketsIn, PacketsOut, BytesIn, BytesOut uint64
}
