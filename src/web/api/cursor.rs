//! Opaque cursors: where a list goes on. Bound to its filter, so that another list's cursor is refused, not misread.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::model::Id;

const VERSION: u8 = 1;

fn mark(filter: &str) -> [u8; 4] {
    let digest = Sha256::digest(filter.as_bytes());
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Goes on from this id.
pub(super) fn after(id: Id, filter: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(id.0.to_be_bytes());
    bytes.extend(mark(filter));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The id it goes on from; none when this list did not give it out.
pub(super) fn read(cursor: &str, filter: &str) -> Option<Id> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (id, bound) = rest.split_at_checked(8)?;
    (*version == VERSION && bound == mark(filter)).then_some(Id(i64::from_be_bytes(id.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = after(Id(77), "state=open");
        assert_eq!(read(&cursor, "state=open"), Some(Id(77)));
        assert_eq!(read(&cursor, "state=closed"), None);
        for other in ["", "AQ", "bm90IGEgY3Vyc29y", "%", &format!("{cursor}AA")] {
            assert_eq!(read(other, "state=open"), None, "{other}");
        }
    }
}
