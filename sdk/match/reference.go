package match

import (
	"slices"
	"strconv"
	"strings"
)

// reference is a back-reference to the first set one of the groups given.
func (p *parser) reference(start int, groups []int) (piece, error) {
	if p.known == nil {
		groups = nil
	}
	if len(p.calls) > 0 {
		return piece{}, p.fail(start, "a back-reference inside a called group is not supported")
	}
	if p.flags.ignoreCase && p.alphabet() == latinHigh && !p.flags.charset.unicode() {
		return piece{}, p.fail(start, "a back-reference without case under mixed character rules is not supported")
	}
	out := piece{source: "(?!)", max: unbounded, atom: true}
	for _, n := range slices.Backward(groups) {
		ref := `\k<` + strconv.Itoa(n) + ">"
		if p.flags.ignoreCase {
			ref = "(?i:" + ref + ")"
		}
		if len(groups) == 1 {
			out.source = ref
		} else {
			out.source = "(?(" + strconv.Itoa(n) + ")" + ref + "|" + out.source + ")"
		}
	}
	return out, nil
}

func (p *parser) numberedReference(start, n int) (piece, error) {
	if n < 1 || p.known != nil && n > p.known.groups {
		return piece{}, p.fail(start, "reference to a group that does not exist")
	}
	return p.reference(start, []int{n})
}

// namedReference reads a name up to end.
func (p *parser) namedReference(start int, end string) (piece, error) {
	groups, err := p.namedGroups(start, end)
	if err != nil {
		return piece{}, err
	}
	return p.reference(start, groups)
}

// namedGroups reads a name up to end and returns the groups that bear it, none in
// the first pass.
func (p *parser) namedGroups(start int, end string) ([]int, error) {
	name, err := p.groupName(start, end)
	if err != nil || p.known == nil {
		return nil, err
	}
	groups := p.known.names[name]
	if len(groups) == 0 {
		return nil, p.fail(start, "reference to a group name that does not exist")
	}
	return groups, nil
}

// callAhead tells whether (?1) (?-1) (?+1) (?0) or (?R) follows "(?".
func (p *parser) callAhead() bool {
	c := p.peek()
	return isDigit(c) || c == 'R' || (c == '-' || c == '+') && isDigit(p.at(1))
}

// numberedCall reads the number of a call.
func (p *parser) numberedCall(start int) (piece, error) {
	sign := p.peek()
	if sign == '-' || sign == '+' || sign == 'R' {
		p.pos++
	}
	n := repeatCount(p.digits(), 0)
	if !p.eat(")") {
		return piece{}, p.fail(start, "call of a group not terminated")
	}
	switch sign {
	case '-':
		n = p.groups + 1 - n
	case '+':
		n += p.groups
	}
	if n < 0 || (sign == '-' || sign == '+') && n == 0 {
		return piece{}, p.fail(start, "reference to a group that does not exist")
	}
	return p.call(start, n)
}

func (p *parser) namedCall(start int) (piece, error) {
	groups, err := p.namedGroups(start, ")")
	if err != nil || p.known == nil {
		return piece{}, err
	}
	return p.call(start, groups[0])
}

// call expands a group's body in place. The engine has no recursion, so a group
// cannot call itself.
func (p *parser) call(start, n int) (piece, error) {
	if p.known == nil {
		return piece{}, nil
	}
	body, exists := p.known.spans[n]
	switch {
	case n > 0 && !exists:
		return piece{}, p.fail(start, "reference to a group that does not exist")
	case n == 0 || slices.Contains(p.calls, n) || start > body.start && start < body.end:
		return piece{}, p.fail(start, "recursion is not supported")
	}
	back, outerFlags, groups := p.pos, p.flags, p.groups
	p.calls = append(p.calls, n)
	p.pos, p.flags, p.groups = body.start, body.flags, n
	out, err := p.enclosedBody(body.start, "(?:")
	p.calls = p.calls[:len(p.calls)-1]
	p.pos, p.flags, p.groups = back, outerFlags, groups
	if p.size += len(out.source); p.size > maxSource && err == nil {
		err = p.fail(start, "the calls of groups expand to too much")
	}
	return out, err
}

// conditional reads what follows "(?(": a condition and one or two branches.
func (p *parser) conditional(start int) (piece, error) {
	condition, err := p.condition(start)
	if err != nil {
		return piece{}, err
	}
	// Flags set in a branch stay in force after the condition's end: Perl's way.
	branches := make([]piece, 0, 2)
	for len(branches) == 0 || p.eat("|") {
		if len(branches) == 2 || condition.define && len(branches) == 1 {
			return piece{}, p.fail(start, "too many branches in (?(...)...)")
		}
		branch, err := p.sequence()
		if err != nil {
			return piece{}, err
		}
		// The engine reads no options directly inside a condition: wrapped.
		branches = append(branches, branch.fenced(p.spareGroup()).enclosed("(?:"))
	}
	if !p.eat(")") {
		return piece{}, p.fail(start, "(?(... not terminated")
	}
	if len(branches) == 1 {
		branches = append(branches, nothing())
	}
	out := alternativesOf(branches)
	out.source = condition.open + out.source + ")"
	out.atom = true
	if condition.group && out.oneWay == "" {
		out.oneWay = "a condition on a group"
	}
	return out, nil
}

// condition is the head of (?(condition)yes|no).
type condition struct {
	open   string // the engine's source up to the first branch
	define bool   // never true, and without a second branch
	group  bool   // asks whether a group is set
}

// neverOpen makes the first of two branches fail and still defines its groups.
const neverOpen = "(?:(?!)"

func (p *parser) condition(start int) (condition, error) {
	switch {
	case p.eat("DEFINE)"):
		return condition{open: neverOpen, define: true}, nil
	case isDigit(p.peek()) && p.peek() != '0':
		n := repeatCount(p.digits(), 0)
		if !p.eat(")") {
			return condition{}, p.fail(start, "condition not recognized")
		}
		return p.groupCondition(start, []int{n})
	case p.eat("<"), p.eat("'"):
		end := strings.Replace(p.pattern[p.pos-1:p.pos], "<", ">", 1) + ")"
		groups, err := p.namedGroups(start, end)
		if err != nil {
			return condition{}, err
		}
		return p.groupCondition(start, groups)
	case p.peek() == 'R':
		for p.more() && p.peek() != ')' {
			p.pos++
		}
		p.eat(")")
		return condition{open: neverOpen}, nil
	case p.peek() == '?' || p.peek() == '*':
		return p.assertedCondition(start)
	}
	return condition{}, p.fail(p.pos, "unknown condition")
}

func (p *parser) groupCondition(start int, groups []int) (condition, error) {
	if len(p.calls) > 0 {
		return condition{}, p.fail(start, "a condition inside a called group is not supported")
	}
	out := condition{open: neverOpen, group: true}
	if p.known == nil {
		return out, nil
	}
	groups = slices.DeleteFunc(slices.Clone(groups), func(n int) bool { return n > p.known.groups })
	if len(groups) == 1 {
		out.open = "(?(" + strconv.Itoa(groups[0]) + ")"
	} else if len(groups) > 1 {
		test := "(?!)"
		for _, n := range groups {
			test = "(?(" + strconv.Itoa(n) + ")|" + test + ")"
		}
		out.open = "(?(?=" + test + ")"
	}
	return out, nil
}

func (p *parser) assertedCondition(start int) (condition, error) {
	p.pos-- // back to the parenthesis of the assertion
	at := p.pos
	test, present, err := p.group()
	if err != nil {
		return condition{}, err
	}
	if !present || test.max > 0 || !strings.HasPrefix(test.source, "(?") || len(test.source) < 4 ||
		!strings.ContainsRune("=!<", rune(test.source[2])) {
		return condition{}, p.fail(at, "unknown condition")
	}
	if strings.IndexByte("=!:", p.pattern[p.pos-2]) >= 0 && strings.IndexByte("=!", test.source[len(test.source)-2]) >= 0 {
		// Perl takes an assertion with nothing in it, of either sign, for false.
		return condition{open: neverOpen}, nil
	}
	return condition{open: "(?" + test.source}, nil
}
