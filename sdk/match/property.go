package match

import (
	"strings"
	"unicode"
)

// propertySet resolves the NAME of \p{NAME} over the code points 0 to 255,
// by the loose matching of perluniprops(1): case, blanks, '_' and '-' do not
// count, "Is" may come first, and "gc=", "sc=" and "scx=" select the family.
// Properties that a user would have to define are unknown.
func propertySet(name string, ignoreCase bool) (byteSet, bool) {
	invert := strings.HasPrefix(strings.TrimSpace(name), "^")
	loose := looseName(name)
	family := ""
	if i := strings.IndexAny(loose, "=:"); i >= 0 {
		family, loose = loose[:i], loose[i+1:]
	}
	test := propertyTest(family, loose, ignoreCase)
	if test == nil {
		test = propertyTest(family, strings.TrimPrefix(loose, "is"), ignoreCase)
	}
	if test == nil {
		return byteSet{}, false
	}
	set := setWhere(test)
	if invert {
		set = set.inverted()
	}
	return set, true
}

func looseName(name string) string {
	drop := strings.NewReplacer(" ", "", "\t", "", "_", "", "-", "", "^", "")
	// "L_" is the old name of the cased letters and would lose its tail.
	if strings.TrimSpace(name) == "L_" {
		return "lc"
	}
	return strings.ToLower(drop.Replace(name))
}

func propertyTest(family, loose string, ignoreCase bool) func(rune) bool {
	switch family {
	case "":
		if t := binaryTest(loose, ignoreCase); t != nil {
			return t
		}
		if t := categoryTest(loose, ignoreCase); t != nil {
			return t
		}
		return scriptTest(loose)
	case "gc", "generalcategory", "category":
		return categoryTest(loose, ignoreCase)
	case "sc", "script", "scx", "scriptextensions":
		return scriptTest(loose)
	}
	return nil
}

// binaryTest knows the properties without a family. "XPosix" is the Unicode
// version of a POSIX class, "Posix" and "Perl" the ASCII one.
func binaryTest(loose string, ignoreCase bool) func(rune) bool {
	switch loose {
	case "any", "all", "unicode", "assigned":
		return func(rune) bool { return true }
	case "basiclatin", "ascii", "inascii", "inbasiclatin":
		return isASCII
	case "latin1", "latin1supplement", "inlatin1", "inlatin1supplement", "latin1sup":
		return func(r rune) bool { return !isASCII(r) }
	case "cased":
		return isCased
	case "vertspace":
		return func(r rune) bool { return verticalSpace.has(byte(r)) }
	case "horizspace":
		loose = "blank"
	case "whitespace", "wspace", "spaceperl", "xperlspace":
		loose = "space"
	case "alphabetic":
		loose = "alpha"
	case "uppercase":
		loose = "upper"
	case "lowercase":
		loose = "lower"
	case "hexdigit", "hex", "asciihexdigit", "ahex":
		loose = "xdigit"
	case "perlword":
		loose = "posixword"
	case "perlspace":
		loose = "posixspace"
	case "punct":
		return unicode.IsPunct // unlike [:punct:], without ASCII symbols
	}
	ascii := false
	if rest, found := strings.CutPrefix(loose, "xposix"); found {
		loose = rest
	} else if rest, found := strings.CutPrefix(loose, "posix"); found {
		loose, ascii = rest, true
	}
	test := posixTest(loose)
	if test != nil && ignoreCase && (loose == "upper" || loose == "lower") {
		test = isCased
	}
	if test != nil && ascii {
		return func(r rune) bool { return isASCII(r) && test(r) }
	}
	return test
}

// categoryNames maps the long names of the general categories to the short.
const categoryNames = `letter=l casedletter=lc l&=lc uppercaseletter=lu lowercaseletter=ll
titlecaseletter=lt titlecase=lt title=lt modifierletter=lm otherletter=lo mark=m
combiningmark=m nonspacingmark=mn spacingmark=mc enclosingmark=me number=n decimalnumber=nd
digit=nd letternumber=nl othernumber=no punctuation=p punct=p connectorpunctuation=pc
dashpunctuation=pd openpunctuation=ps closepunctuation=pe initialpunctuation=pi
finalpunctuation=pf otherpunctuation=po symbol=s mathsymbol=sm currencysymbol=sc
modifiersymbol=sk othersymbol=so separator=z spaceseparator=zs lineseparator=zl
paragraphseparator=zp other=c control=cc cntrl=cc format=cf surrogate=cs privateuse=co
unassigned=cn`

func categoryTest(loose string, ignoreCase bool) func(rune) bool {
	for _, pair := range strings.Fields(categoryNames) {
		if long, short, _ := strings.Cut(pair, "="); long == loose {
			loose = short
			break
		}
	}
	switch loose {
	case "lu", "ll":
		if ignoreCase {
			loose = "lc"
		}
	case "lt":
		if ignoreCase {
			return isCased
		}
	case "cn":
		return func(rune) bool { return false }
	}
	if loose == "lc" {
		return func(r rune) bool { return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt) }
	}
	if len(loose) == 0 || len(loose) > 2 {
		return nil
	}
	table := unicode.Categories[strings.ToUpper(loose[:1])+loose[1:]]
	if table == nil {
		return nil
	}
	return func(r rune) bool { return unicode.Is(table, r) }
}

func scriptTest(loose string) func(rune) bool {
	switch loose {
	case "latn":
		loose = "latin"
	case "zyyy":
		loose = "common"
	}
	for name, table := range unicode.Scripts {
		if strings.ToLower(strings.ReplaceAll(name, "_", "")) == loose {
			return func(r rune) bool { return unicode.Is(table, r) }
		}
	}
	return nil
}
