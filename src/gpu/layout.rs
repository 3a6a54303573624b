//! For tests: how a struct lies in memory by its WGSL text.

/// Names and offsets of its members, and its size.
pub(crate) fn of_struct(text: &str, name: &str) -> (Vec<(String, usize)>, usize) {
    let module = naga::front::wgsl::parse_str(text).expect("valid WGSL");
    let (_, shader) = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some(name))
        .expect("the struct is there");
    let naga::TypeInner::Struct { members, span } = &shader.inner else {
        panic!("{name} is a struct");
    };
    let members = members
        .iter()
        .map(|member| (member.name.clone().unwrap_or_default(), member.offset as usize))
        .collect();
    (members, *span as usize)
}

/// The same of a struct of the host's: the fields named.
macro_rules! host {
    ($of:ident: $($field:ident)*) => {
        vec![$((stringify!($field).to_owned(), core::mem::offset_of!($of, $field))),*]
    };
}
pub(crate) use host;
