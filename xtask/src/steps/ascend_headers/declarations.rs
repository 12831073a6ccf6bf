//! What bindgen's Rust declares, in a form that can be compared.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt;
use syn::{Expr, ExprLit, ForeignItem, Item, Lit, ReturnType, Type, UnOp};

/// A type's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Named {
    /// Another name of this type.
    Alias(Shape),
    /// A struct or union and its members; none for one whose members are not told.
    Members { union: bool, members: Option<Vec<(String, Shape)>> },
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A number, or a declared name.
    Name(String),
    Pointer {
        constant: bool,
        to: Box<Shape>,
    },
    Array(String, Box<Shape>),
    Function(Box<Signature>),
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Signature {
    pub(super) arguments: Vec<Shape>,
    pub(super) variadic: bool,
    pub(super) result: Shape,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Name(name) => f.write_str(name),
            Shape::Pointer { constant: true, to } => write!(f, "*const {to}"),
            Shape::Pointer { constant: false, to } => write!(f, "*mut {to}"),
            Shape::Array(n, of) => write!(f, "[{of}; {n}]"),
            Shape::Function(signature) => write!(f, "fn{signature}"),
            Shape::Nothing => f.write_str("()"),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<_> = self.arguments.iter().map(ToString::to_string).collect();
        let more = if self.variadic { ", ..." } else { "" };
        write!(f, "({}{more}) -> {}", arguments.join(", "), self.result)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Named::Alias(of) => write!(f, "{of}"),
            Named::Members { union, members } => {
                let members = members.iter().flatten().map(|(name, of)| format!("{name}: {of}"));
                let word = if *union { "union" } else { "struct" };
                write!(f, "{word} {{ {} }}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The declarations of some headers.
#[derive(Clone, Debug, Default)]
pub(super) struct Declarations {
    pub(super) types: BTreeMap<String, Named>,
    /// Values as text, with the types' names.
    pub(super) constants: BTreeMap<String, (Shape, String)>,
    pub(super) functions: BTreeMap<String, Signature>,
}

impl Declarations {
    /// Reads bindgen's output.
    pub(super) fn read(rust: &str) -> Result<Self> {
        let mut all = Declarations::default();
        for item in syn::parse_file(rust).context("bindgen's output is no Rust")?.items {
            match item {
                Item::Type(t) => {
                    all.types.insert(t.ident.to_string(), Named::Alias(shape(&t.ty)));
                }
                Item::Struct(s) => {
                    all.types.insert(s.ident.to_string(), members(&s.fields, false));
                }
                Item::Union(u) => {
                    all.types.insert(u.ident.to_string(), members(&syn::Fields::Named(u.fields), true));
                }
                // `pub use self::tag as name`: a name for a type with a tag of another name.
                Item::Use(u) => {
                    if let Some((tag, name)) = renamed(&u.tree) {
                        all.types.insert(name, Named::Alias(Shape::Name(tag)));
                    }
                }
                Item::Const(c) => {
                    if let Some(value) = value(&c.expr) {
                        all.constants.insert(c.ident.to_string(), (shape(&c.ty), value));
                    }
                }
                Item::ForeignMod(block) => {
                    for item in block.items {
                        if let ForeignItem::Fn(f) = item {
                            let arguments = f.sig.inputs.iter().filter_map(|a| match a {
                                syn::FnArg::Typed(a) => Some(shape(&a.ty)),
                                syn::FnArg::Receiver(_) => None,
                            });
                            let signature = Signature {
                                arguments: arguments.collect(),
                                variadic: f.sig.variadic.is_some(),
                                result: result(&f.sig.output),
                            };
                            all.functions.insert(f.sig.ident.to_string(), signature);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// No declarations but these types, of which nothing is told: what resolving stops at.
    pub(super) fn keeping(names: &[&str]) -> Self {
        let untold = Named::Members { union: false, members: None };
        let types = names.iter().map(|name| ((*name).to_owned(), untold.clone())).collect();
        Declarations { types, ..Declarations::default() }
    }

    pub(super) fn extend(&mut self, other: &Declarations) {
        self.types.extend(other.types.clone());
        self.constants.extend(other.constants.clone());
        self.functions.extend(other.functions.clone());
    }

    /// Those of which others have the names.
    pub(super) fn known_to(&self, others: &Declarations) -> Self {
        let mut known = self.clone();
        known.types.retain(|name, _| others.types.contains_key(name));
        known.constants.retain(|name, _| others.constants.contains_key(name));
        known.functions.retain(|name, _| others.functions.contains_key(name));
        known
    }

    /// A type in terms of numbers and of names that `other` has as well.
    pub(super) fn resolve(&self, shape: &Shape, other: &Declarations) -> Shape {
        let inner = |s: &Shape| Box::new(self.resolve(s, other));
        match shape {
            Shape::Name(name) if other.types.contains_key(name) && self.types.contains_key(name) => shape.clone(),
            Shape::Name(name) => match self.types.get(name) {
                Some(Named::Alias(of)) => self.resolve(of, other),
                _ => shape.clone(),
            },
            Shape::Pointer { constant, to } => Shape::Pointer { constant: *constant, to: inner(to) },
            Shape::Array(n, of) => Shape::Array(n.clone(), inner(of)),
            Shape::Function(signature) => Shape::Function(Box::new(self.resolve_signature(signature, other))),
            Shape::Nothing => Shape::Nothing,
        }
    }

    pub(super) fn resolve_signature(&self, signature: &Signature, other: &Declarations) -> Signature {
        Signature {
            arguments: signature.arguments.iter().map(|a| self.resolve(a, other)).collect(),
            variadic: signature.variadic,
            result: self.resolve(&signature.result, other),
        }
    }
}

fn members(fields: &syn::Fields, union: bool) -> Named {
    let members: Vec<_> =
        fields.iter().map(|f| (f.ident.as_ref().map(ToString::to_string).unwrap_or_default(), shape(&f.ty))).collect();
    let told = !members.iter().any(|(name, _)| name == "_unused" || name == "_address");
    Named::Members { union, members: told.then_some(members) }
}

fn renamed(tree: &syn::UseTree) -> Option<(String, String)> {
    match tree {
        syn::UseTree::Path(p) if p.ident == "self" => renamed(&p.tree),
        syn::UseTree::Rename(r) => Some((r.ident.to_string(), r.rename.to_string())),
        _ => None,
    }
}

fn result(output: &ReturnType) -> Shape {
    match output {
        ReturnType::Default => Shape::Nothing,
        ReturnType::Type(_, of) => shape(of),
    }
}

fn shape(of: &Type) -> Shape {
    match of {
        Type::Ptr(p) => Shape::Pointer { constant: p.const_token.is_some(), to: Box::new(shape(&p.elem)) },
        Type::Array(a) => Shape::Array(value(&a.len).unwrap_or_default(), Box::new(shape(&a.elem))),
        Type::Reference(r) => Shape::Pointer { constant: r.mutability.is_none(), to: Box::new(shape(&r.elem)) },
        Type::BareFn(f) => Shape::Function(Box::new(Signature {
            arguments: f.inputs.iter().map(|a| shape(&a.ty)).collect(),
            variadic: f.variadic.is_some(),
            result: result(&f.output),
        })),
        Type::Path(p) => path(p),
        _ => Shape::Nothing,
    }
}

fn path(of: &syn::TypePath) -> Shape {
    let Some(last) = of.path.segments.last() else { return Shape::Nothing };
    // A function's pointer may be null, so it is in an `Option`.
    if let syn::PathArguments::AngleBracketed(inside) = &last.arguments
        && let Some(syn::GenericArgument::Type(inner)) = inside.args.first()
    {
        return shape(inner);
    }
    let name = last.ident.to_string();
    Shape::Name(
        match name.as_str() {
            "c_schar" => "i8",
            "c_uchar" => "u8",
            "c_short" => "i16",
            "c_ushort" => "u16",
            "c_int" => "i32",
            "c_uint" => "u32",
            "c_long" | "c_longlong" => "i64",
            "c_ulong" | "c_ulonglong" => "u64",
            "c_float" => "f32",
            "c_double" => "f64",
            other => other,
        }
        .to_owned(),
    )
}

/// A constant's value, whatever suffix it has.
fn value(of: &Expr) -> Option<String> {
    match of {
        Expr::Lit(ExprLit { lit: Lit::Int(n), .. }) => n.base10_parse::<i128>().ok().map(|n| n.to_string()),
        Expr::Lit(ExprLit { lit: Lit::CStr(s), .. }) => Some(s.value().to_string_lossy().into_owned()),
        Expr::Lit(ExprLit { lit: Lit::Bool(b), .. }) => Some(b.value.to_string()),
        Expr::Lit(ExprLit { lit: Lit::Float(f), .. }) => Some(f.base10_digits().to_owned()),
        Expr::Unary(u) if matches!(u.op, UnOp::Neg(_)) => value(&u.expr).map(|v| format!("-{v}")),
        _ => None,
    }
}
