//! Looks at an expression without evaluating it. Nothing here recurses: the tree may be as deep as its text is long.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

/// How large an expression is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Size {
    pub(super) depth: usize,
    pub(super) comprehensions: usize,
    pub(super) nesting: usize,
}

struct Visit<'a> {
    node: &'a IdedExpr,
    depth: usize,
    nesting: usize,
}

/// Calls `see` for every node with its depth, from 1, and the number of comprehensions around it.
fn walk<'a>(root: &'a IdedExpr, mut see: impl FnMut(&'a Expr, usize, usize)) {
    let mut open = vec![Visit { node: root, depth: 1, nesting: 0 }];
    while let Some(Visit { node, depth, nesting }) = open.pop() {
        see(&node.expr, depth, nesting);
        let mut inside = |node: &'a IdedExpr, nesting: usize| {
            open.push(Visit { node, depth: depth + 1, nesting });
        };
        match &node.expr {
            Expr::Call(call) => {
                call.target.iter().for_each(|target| inside(target, nesting));
                call.args.iter().for_each(|argument| inside(argument, nesting));
            }
            Expr::Comprehension(loops) => {
                inside(&loops.iter_range, nesting);
                inside(&loops.accu_init, nesting);
                for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
                    inside(part, nesting + 1);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|element| inside(element, nesting)),
            Expr::Map(map) => {
                map.entries.iter().for_each(|entry| entries(&entry.expr, &mut |node| inside(node, nesting)))
            }
            Expr::Struct(map) => {
                map.entries.iter().for_each(|entry| entries(&entry.expr, &mut |node| inside(node, nesting)))
            }
            Expr::Select(select) => inside(&select.operand, nesting),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }
}

fn entries<'a>(entry: &'a EntryExpr, inside: &mut dyn FnMut(&'a IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => inside(&field.value),
        EntryExpr::MapEntry(pair) => {
            inside(&pair.key);
            inside(&pair.value);
        }
    }
}

pub(super) fn measure(root: &IdedExpr) -> Size {
    let mut size = Size::default();
    walk(root, |node, depth, nesting| {
        size.depth = size.depth.max(depth);
        if matches!(node, Expr::Comprehension(_)) {
            size.comprehensions += 1;
            size.nesting = size.nesting.max(nesting + 1);
        }
    });
    size
}

/// Names that comprehensions bind.
pub(super) fn bound_names(root: &IdedExpr) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    walk(root, |node, _, _| {
        if let Expr::Comprehension(loops) = node {
            names.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
            names.extend(loops.iter_var2.as_deref());
        }
    });
    names
}

/// Properties that the expression names, except those that it also tests with `has`.
pub(super) fn untested_properties(root: &IdedExpr) -> Vec<&str> {
    let (mut named, mut tested) = (BTreeSet::new(), BTreeSet::new());
    walk(root, |node, _, _| match node {
        Expr::Select(select) if is_props(&select.operand) => {
            let names = if select.test { &mut tested } else { &mut named };
            names.insert(select.field.as_str());
        }
        Expr::Call(call) if call.func_name == "_[_]" => {
            if let [map, key] = call.args.as_slice()
                && is_props(map)
                && let Expr::Literal(LiteralValue::String(name)) = &key.expr
            {
                named.insert(name.inner());
            }
        }
        _ => {}
    });
    named.difference(&tested).copied().collect()
}

fn is_props(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name == "props")
}

/// The names of an expression that is nothing but `a.b.c`.
pub(super) fn plain_path(root: &IdedExpr) -> Option<Vec<&str>> {
    let mut path = Vec::new();
    let mut node = root;
    loop {
        match &node.expr {
            Expr::Select(select) if !select.test => {
                path.push(select.field.as_str());
                node = &select.operand;
            }
            Expr::Ident(name) => {
                path.push(name.as_str());
                path.reverse();
                return Some(path);
            }
            _ => return None,
        }
    }
}
