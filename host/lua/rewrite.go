package lua

import (
	"fmt"
	"strings"

	"github.com/yuin/gopher-lua/ast"
)

// maxOperands bounds the arguments of one call of concat: they take a register each.
const maxOperands = 40

// nestingError is a script whose expressions or blocks are too deep for the compiler, which recurses.
type nestingError struct{ line int }

func (e *nestingError) Error() string {
	return fmt.Sprintf("expressions or blocks are nested more than %d deep", maxNesting)
}

// rewrite replaces in a script what could use memory without bound in one instruction, and
// that no library function stands for:
//
//	a .. b .. c   becomes   (concat)(a, b, c)
//	t[k] = v      becomes   t[(index)(k, t)] = v, unless k is a string, or a small number
//	{[k] = v}     becomes   {[(index)(k)] = v}, likewise
//	return f(x)   becomes   return (tail)(f)(x)
//
// For the second see assign, for the last see tail.
func rewrite(script []ast.Stmt) (chunk []ast.Stmt, err error) {
	w := &rewriter{}
	defer func() {
		if p := recover(); p != nil {
			deep, ok := p.(*nestingError)
			if !ok {
				panic(p)
			}
			err = deep
		}
	}()
	w.block(script)
	return outer(script), nil
}

// rewriter walks the tree, changing it in place. It panics with a *nestingError.
type rewriter struct{ depth int }

// enter counts one level more; what it returns leaves it.
func (w *rewriter) enter(at ast.PositionHolder) func() {
	if w.depth++; w.depth > maxNesting {
		panic(&nestingError{at.Line()})
	}
	return func() { w.depth-- }
}

func (w *rewriter) block(stmts []ast.Stmt) {
	for _, s := range stmts {
		w.stmt(s)
	}
}

func (w *rewriter) stmt(s ast.Stmt) {
	defer w.enter(s)()
	switch s := s.(type) {
	case *ast.AssignStmt:
		for _, target := range s.Lhs {
			w.target(target)
		}
		w.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		w.exprs(s.Exprs)
	case *ast.FuncCallStmt:
		w.expr(&s.Expr)
	case *ast.DoBlockStmt:
		w.block(s.Stmts)
	case *ast.WhileStmt:
		w.expr(&s.Condition)
		w.block(s.Stmts)
	case *ast.RepeatStmt:
		w.block(s.Stmts)
		w.expr(&s.Condition)
	case *ast.IfStmt:
		w.expr(&s.Condition)
		w.block(s.Then)
		w.block(s.Else)
	case *ast.NumberForStmt:
		w.expr(&s.Init)
		w.expr(&s.Limit)
		w.optional(&s.Step)
		w.block(s.Stmts)
	case *ast.GenericForStmt:
		w.exprs(s.Exprs)
		w.block(s.Stmts)
	case *ast.FuncDefStmt:
		w.optional(&s.Name.Func)
		w.optional(&s.Name.Receiver)
		w.block(s.Func.Stmts)
	case *ast.ReturnStmt:
		w.exprs(s.Exprs)
		w.tail(s.Exprs)
	case *ast.BreakStmt, *ast.LabelStmt, *ast.GotoStmt:
	default:
		panic(fmt.Errorf("statement %T is not known", s))
	}
}

// target is what is assigned to.
func (w *rewriter) target(e ast.Expr) {
	w.expr(&e) // a name or an index: not replaced itself
	if to, ok := e.(*ast.AttrGetExpr); ok {
		w.key(&to.Key, to.Object)
	}
}

// key wraps a key under which something is kept, unless it is harmless. The table is told too
// when it is nothing but a name, which can be looked at twice.
func (w *rewriter) key(key *ast.Expr, table ast.Expr) {
	switch k := (*key).(type) {
	case *ast.StringExpr, *ast.TrueExpr, *ast.FalseExpr, *ast.NilExpr:
		return
	case *ast.NumberExpr:
		if len(k.Value) < 4 && strings.Trim(k.Value, "0123456789") == "" {
			return
		}
	case *ast.FuncCallExpr:
		k.AdjustRet = true
	}
	if name, ok := table.(*ast.IdentExpr); ok {
		again := *name
		*key = call(indexName, *key, *key, &again)
		return
	}
	*key = call(indexName, *key, *key)
}

// tail wraps what is called in a tail call.
func (w *rewriter) tail(results []ast.Expr) {
	if len(results) != 1 {
		return
	}
	c, ok := results[0].(*ast.FuncCallExpr)
	switch {
	case !ok || c.AdjustRet:
	case c.Receiver != nil:
		c.Receiver = call(tailName, c.Receiver, c.Receiver)
	default:
		c.Func = call(tailName, c.Func, c.Func)
	}
}

func (w *rewriter) exprs(all []ast.Expr) {
	for i := range all {
		w.expr(&all[i])
	}
}

// optional is expr for what may be missing.
func (w *rewriter) optional(e *ast.Expr) {
	if *e != nil {
		w.expr(e)
	}
}

// expr rewrites what is below *e, and *e itself when it is a concatenation.
func (w *rewriter) expr(e *ast.Expr) {
	defer w.enter(*e)()
	switch x := (*e).(type) {
	case *ast.StringConcatOpExpr:
		*e = w.concat(x)
	case *ast.AttrGetExpr:
		w.expr(&x.Object)
		w.expr(&x.Key)
	case *ast.TableExpr:
		for _, f := range x.Fields {
			if w.optional(&f.Key); f.Key != nil {
				w.key(&f.Key, nil)
			}
			w.expr(&f.Value)
		}
	case *ast.FuncCallExpr:
		w.optional(&x.Func)
		w.optional(&x.Receiver)
		w.exprs(x.Args)
	case *ast.LogicalOpExpr:
		w.both(&x.Lhs, &x.Rhs)
	case *ast.RelationalOpExpr:
		w.both(&x.Lhs, &x.Rhs)
	case *ast.ArithmeticOpExpr:
		w.both(&x.Lhs, &x.Rhs)
	case *ast.UnaryMinusOpExpr:
		w.expr(&x.Expr)
	case *ast.UnaryNotOpExpr:
		w.expr(&x.Expr)
	case *ast.UnaryLenOpExpr:
		w.expr(&x.Expr)
	case *ast.FunctionExpr:
		w.block(x.Stmts)
	case *ast.TrueExpr, *ast.FalseExpr, *ast.NilExpr, *ast.NumberExpr, *ast.StringExpr, *ast.Comma3Expr, *ast.IdentExpr:
	default:
		panic(fmt.Errorf("expression %T is not known", x))
	}
}

func (w *rewriter) both(left, right *ast.Expr) {
	w.expr(left)
	w.expr(right)
}

// concat makes one call of a chain of concatenations, which the parser nests to the right; of a
// long one a call for each maxOperands of them.
func (w *rewriter) concat(x *ast.StringConcatOpExpr) ast.Expr {
	var operands []ast.Expr
	for {
		operands = append(operands, x.Lhs)
		next, ok := x.Rhs.(*ast.StringConcatOpExpr)
		if !ok {
			operands = append(operands, x.Rhs)
			break
		}
		x = next
	}
	w.exprs(operands)
	for len(operands) > maxOperands {
		tail := len(operands) - maxOperands
		operands = append(operands[:tail:tail], call(concatName, operands[tail], operands[tail:]...))
	}
	return call(concatName, x, operands...)
}

// call calls a replacement, for one result and with one value per argument.
func call(name string, at ast.PositionHolder, args ...ast.Expr) ast.Expr {
	switch last := args[len(args)-1].(type) {
	case *ast.FuncCallExpr:
		last.AdjustRet = true
	case *ast.Comma3Expr:
		last.AdjustRet = true
	}
	function := &ast.IdentExpr{Value: name}
	function.SetLine(at.Line())
	function.SetLastLine(at.LastLine())
	out := &ast.FuncCallExpr{Func: function, Args: args, AdjustRet: true}
	out.SetLine(at.Line())
	out.SetLastLine(at.LastLine())
	return out
}
