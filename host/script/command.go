package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Command is what a checkcommand asks for.
type Command struct {
	Path string   // absolute, or a name that is looked up
	Args []string // those of the configuration, before the four of the check
}

// Parse reads a checkcommand. No shell does: blanks separate words; quotes of both kinds
// and backslashes keep them together, and nothing else means anything. A file that has the whole
// text for its name is that file, blanks or not. A relative path starts at the root directory,
// which is the daemon's.
func Parse(text string) (Command, error) {
	if info, err := os.Stat(rooted(text)); err == nil && info.Mode().IsRegular() && strings.Contains(text, "/") {
		return Command{Path: rooted(text)}, nil
	}
	list, err := words(text)
	if err != nil {
		return Command{}, err
	}
	if len(list) == 0 || list[0] == "" {
		return Command{}, errors.New("names no program")
	}
	return Command{Path: rooted(list[0]), Args: list[1:]}, nil
}

func rooted(path string) string {
	if strings.Contains(path, "/") && !filepath.IsAbs(path) {
		return "/" + path
	}
	return path
}

// words splits text. Inside double quotes a backslash keeps a quote or a backslash, inside single
// quotes nothing is special.
func words(text string) ([]string, error) {
	var list []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(text) && (quote == 0 || text[i+1] == '"' || text[i+1] == '\\'):
			i++
			word.WriteByte(text[i])
			inWord = true
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				list = append(list, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if inWord {
		list = append(list, word.String())
	}
	return list, nil
}

// Find returns the path of the command's file, looked up where it is a plain name. The error
// says what is missing.
func (c Command) Find() (string, error) {
	if strings.Contains(c.Path, "/") {
		_, err := os.Stat(c.Path)
		return c.Path, err
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, c.Path)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s in %s", c.Path, searchPath)
}

// Startable says why the command could not be started now; nil: nothing is known against it.
// script is for a file that an interpreter reads: it needs no execute bit.
func (c Command) Startable(script bool) error {
	path, err := c.Find()
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case script:
		return nil
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable", path)
	default:
		return missingInterpreter(path)
	}
}

// missingInterpreter says whether the program of a #! line is missing: the kernel says of such a script
// that it does not exist itself.
func missingInterpreter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // not ours to read
	}
	defer f.Close()
	head := make([]byte, 256) // as much as the kernel looks at
	n, _ := f.Read(head)
	line, found := strings.CutPrefix(string(head[:n]), "#!")
	if !found {
		return nil
	}
	line, _, _ = strings.Cut(line, "\n")
	name, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: its interpreter %s does not exist%s", path, shown(name), carriage(name))
	}
	return nil
}

// carriage names the usual reason.
func carriage(name string) string {
	if strings.HasSuffix(name, "\r") {
		return ": its lines end in CR LF"
	}
	return ""
}
