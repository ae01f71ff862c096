package config

// Directives lists the whole language: the name of every directive, those that open
// sections first. Options of third parties (option.NAME) are not among them.
func Directives() []string {
	names := []string{"virtual", "virtual6"}
	for _, d := range directives() {
		names = append(names, d.name)
	}
	return names
}
