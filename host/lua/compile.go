package lua

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"
)

// syntaxError is a script that does not compile.
type syntaxError struct {
	line   int // from 1
	offset int // in bytes, from the start of the script
	what   string
}

func (e *syntaxError) Error() string { return e.what }

// compile makes text ready to run; name stands in front of the lines in its error messages.
//
// The operators that no library reaches are replaced first (see rewrite), so what comes out is a
// function that takes their replacements and gives back the script. It may be
// used by many states at once.
func compile(text, name string) (proto *lua.FunctionProto, err error) {
	if len(text) > maxScript {
		return nil, &syntaxError{line: 1, what: fmt.Sprintf("a script of more than %d bytes", maxScript)}
	}
	if strings.HasPrefix(text, "#") { // as in "#!/usr/bin/lua"
		text = "--" + text[1:min(2, len(text))] + text[min(2, len(text)):]
	}
	defer func() {
		if p := recover(); p != nil {
			proto, err = nil, &syntaxError{line: 1, what: fmt.Sprintf("does not compile: %v", p)}
		}
	}()
	chunk, err := parse.Parse(strings.NewReader(text), name)
	if err != nil {
		return nil, located(text, err)
	}
	chunk, err = rewrite(chunk)
	if err != nil {
		return nil, located(text, err)
	}
	proto, err = lua.Compile(chunk, name)
	if err != nil {
		return nil, located(text, err)
	}
	return proto, nil
}

// located turns what the compiler says into a syntaxError.
func located(text string, err error) *syntaxError {
	if bad, ok := errors.AsType[*parse.Error](err); ok {
		if bad.Pos.Line == parse.EOF {
			return at(text, 0, 0, cmp.Or(bad.Message, "syntax error")+" at the end of the script")
		}
		e := at(text, bad.Pos.Line, bad.Pos.Column, fmt.Sprintf("%s near %q", bad.Message, bad.Token))
		if start := e.offset + 1 - len(bad.Token); start >= 0 && strings.HasPrefix(text[start:], bad.Token) {
			e.offset = start // the column is that of the token's end
		}
		return e
	}
	if bad, ok := errors.AsType[*lua.CompileError](err); ok {
		return at(text, bad.Line, 1, bad.Message)
	}
	if bad, ok := errors.AsType[*nestingError](err); ok {
		return at(text, bad.line, 1, bad.Error())
	}
	return &syntaxError{line: 1, what: err.Error()}
}

// at is the error what at a line and column, both from 1; line 0 is the last one that has something.
func at(text string, line, column int, what string) *syntaxError {
	if line == 0 {
		text = strings.TrimRight(text, " \t\r\n")
		start := strings.LastIndexByte(text, '\n') + 1
		return &syntaxError{line: 1 + strings.Count(text, "\n"), offset: start, what: what}
	}
	offset := 0
	for n := 1; n < line; n++ {
		next := strings.IndexByte(text[offset:], '\n')
		if next < 0 {
			break
		}
		offset += next + 1
	}
	return &syntaxError{line: line, offset: min(offset+max(column-1, 0), len(text)), what: what}
}

// names of the replacements, which no script can write or hide.
const (
	concatName = "(concat)"
	indexName  = "(index)"
	tailName   = "(tail)"
)

// outer wraps the statements of a script in a function that takes the replacements:
//
//	local (concat), (index), (tail) = ...
//	return function(...) script end
func outer(script []ast.Stmt) []ast.Stmt {
	last := 1
	if len(script) > 0 {
		last = max(script[len(script)-1].LastLine(), script[len(script)-1].Line())
	}
	inner := &ast.FunctionExpr{ParList: &ast.ParList{HasVargs: true, Names: []string{}}, Stmts: script}
	inner.SetLine(1)
	inner.SetLastLine(last + 1)
	names := &ast.LocalAssignStmt{Names: []string{concatName, indexName, tailName}, Exprs: []ast.Expr{&ast.Comma3Expr{}}}
	names.SetLine(1)
	names.SetLastLine(1)
	result := &ast.ReturnStmt{Exprs: []ast.Expr{inner}}
	result.SetLine(1)
	result.SetLastLine(last + 1)
	return []ast.Stmt{names, result}
}
