//! Struct and enum declarations that are specimens: [`state!`](crate::state!).

/// Declares structs and enums with their serde attributes, as an application would, and makes
/// specimens of them: a value is made and compared field by field.
///
/// Fields of tuple structs and tuple variants carry names, which only the macro sees. After `=>`
/// a field may say how its values are made.
#[macro_export]
macro_rules! state {
    () => {};
    ($(#[$m:meta])* struct $name:ident {
        $($(#[$fm:meta])* $f:ident: $t:ty $(=> |$g:ident| $make:expr)?),* $(,)?
    } $($rest:tt)*) => {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        $(#[$m])*
        pub struct $name { $($(#[$fm])* pub $f: $t),* }
        impl $crate::Value for $name {
            fn make(g: &mut $crate::Gen) -> Self {
                let _ = &g;
                Self { $($f: $crate::state!(@make g, $t $(, |$g| $make)?)),* }
            }
            fn same(&self, other: &Self) -> bool {
                let _ = other;
                true $(&& $crate::Value::same(&self.$f, &other.$f))*
            }
        }
        $crate::state! { $($rest)* }
    };
    ($(#[$m:meta])* struct $name:ident($($(#[$fm:meta])* $f:ident: $t:ty $(=> |$g:ident| $make:expr)?),*); $($rest:tt)*) => {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        $(#[$m])*
        pub struct $name($($(#[$fm])* pub $t),*);
        impl $crate::Value for $name {
            fn make(g: &mut $crate::Gen) -> Self {
                Self($($crate::state!(@make g, $t $(, |$g| $make)?)),*)
            }
            fn same(&self, other: &Self) -> bool {
                let Self($($f),*) = self;
                let mine: &[&dyn $crate::AnyState] = &[$($f),*];
                let Self($($f),*) = other;
                let yours: &[&dyn $crate::AnyState] = &[$($f),*];
                mine.iter().zip(yours).all(|(a, b)| a.same_as(*b))
            }
        }
        $crate::state! { $($rest)* }
    };
    ($(#[$m:meta])* enum $name:ident {
        $($(#[$vm:meta])* $v:ident
            $(($($(#[$tm:meta])* $tf:ident: $tt:ty $(=> |$tg:ident| $tmake:expr)?),*))?
            $({$($(#[$fm:meta])* $f:ident: $t:ty $(=> |$g:ident| $make:expr)?),* $(,)?})?
        ),* $(,)?
    } $($rest:tt)*) => {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        $(#[$m])*
        pub enum $name {
            $($(#[$vm])* $v $(($($(#[$tm])* $tt),*))? $({$($(#[$fm])* $f: $t),*})?),*
        }
        impl $crate::Value for $name {
            fn make(g: &mut $crate::Gen) -> Self {
                let makers: &[fn(&mut $crate::Gen) -> Self] = &[$(|g| {
                    let _ = &g;
                    Self::$v
                        $(($($crate::state!(@make g, $tt $(, |$tg| $tmake)?)),*))?
                        $({$($f: $crate::state!(@make g, $t $(, |$g| $make)?)),*})?
                }),*];
                let make = g.pick(makers);
                make(g)
            }
            fn same(&self, other: &Self) -> bool {
                if std::mem::discriminant(self) != std::mem::discriminant(other) {
                    return false;
                }
                // Of one variant: each field of the one has its counterpart in the other.
                match self {$(
                    Self::$v $(($($tf),*))? $({$($f),*})? => {
                        let mine: &[&dyn $crate::AnyState] = &[$($($tf),*)? $($($f),*)?];
                        #[allow(irrefutable_let_patterns)]
                        if let Self::$v $(($($tf),*))? $({$($f),*})? = other {
                            let yours: &[&dyn $crate::AnyState] = &[$($($tf),*)? $($($f),*)?];
                            mine.iter().zip(yours).all(|(a, b)| a.same_as(*b))
                        } else {
                            false
                        }
                    }
                ),*}
            }
        }
        $crate::state! { $($rest)* }
    };
    (@make $gen:ident, $t:ty) => { <$t as $crate::Value>::make($gen) };
    (@make $gen:ident, $t:ty, |$g:ident| $make:expr) => {{ let $g = &mut *$gen; $make }};
}
