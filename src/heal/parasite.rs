// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory that CRIU maps into a process for the code that it runs there. Pure.
//!
//! It is one memory file, `CRIUMFD`, mapped once and whole: first as code alone; later the code at its start, and right
//! behind it the rest, to be written.

use crate::host::living::Mapping;
use crate::system::living::Area;

/// The areas that a process has of CRIU, one for each dump that was killed; `None` if there is any mapping with the name that
/// is not as CRIU leaves it.
pub(super) fn areas(mappings: &[&Mapping]) -> Option<Vec<Area>> {
    let mut areas: Vec<(&Mapping, u64)> = Vec::new();
    for mapping in mappings {
        match (mapping.permissions.as_slice(), areas.last_mut()) {
            (b"r-xs", _) if mapping.offset == 0 => areas.push((mapping, mapping.end)),
            (b"rw-s", Some((code, end))) if is_rest(mapping, code, *end) => *end = mapping.end,
            _ => return None,
        }
    }
    let is_once = |(code, _): &(&Mapping, u64)| areas.iter().filter(|(other, _)| other.file == code.file).count() == 1;
    areas.iter().all(is_once).then(|| areas.iter().map(|(code, end)| Area { start: code.start, end: *end }).collect())
}

fn is_rest(mapping: &Mapping, code: &Mapping, end: u64) -> bool {
    mapping.start == end
        && code.end == end
        && mapping.file == code.file
        && mapping.offset.checked_add(code.start) == Some(mapping.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start and end, permissions, offset, inode.
    type Line = (u64, u64, &'static str, u64, u32);

    const CODE: Line = (0x1000, 0x6000, "r-xs", 0, 7);
    const REST: Line = (0x6000, 0xf000, "rw-s", 0x5000, 7);

    fn found(lines: &[Line]) -> Option<Vec<(u64, u64)>> {
        let mapping = |(start, end, permissions, offset, inode): &Line| Mapping {
            start: *start,
            end: *end,
            offset: *offset,
            file: format!("00:01 {inode}").into_bytes(),
            permissions: permissions.as_bytes().to_owned(),
            name: b"/memfd:CRIUMFD (deleted)".to_vec(),
        };
        let mappings: Vec<Mapping> = lines.iter().map(mapping).collect();
        let areas = areas(&mappings.iter().collect::<Vec<_>>())?;
        Some(areas.iter().map(|area| (area.start, area.end)).collect())
    }

    #[test]
    fn the_two_mappings_of_a_dump_are_one_area() {
        assert_eq!(found(&[CODE, REST]), Some(vec![(0x1000, 0xf000)]));
        assert_eq!(found(&[CODE]), Some(vec![(0x1000, 0x6000)]));
        let next = [(0x20000, 0x25000, "r-xs", 0, 8), (0x25000, 0x2f000, "rw-s", 0x5000, 8)];
        assert_eq!(found(&[CODE, REST, next[0], next[1]]), Some(vec![(0x1000, 0xf000), (0x20000, 0x2f000)]));
    }

    #[test]
    fn any_other_mapping_of_that_name_is_not_taken_for_it() {
        let others: [&[Line]; 8] = [
            &[REST],
            &[(0x1000, 0x6000, "rw-s", 0, 7)],
            &[(0x1000, 0x6000, "r-xp", 0, 7)],
            &[(0x1000, 0x6000, "r-xs", 0x1000, 7)],
            &[CODE, (0x7000, 0xf000, "rw-s", 0x5000, 7)],
            &[CODE, (0x6000, 0xf000, "rw-s", 0x6000, 7)],
            &[CODE, (0x6000, 0xf000, "rw-s", 0x5000, 8)],
            &[CODE, REST, (0x20000, 0x25000, "r-xs", 0, 7)],
        ];
        for lines in others {
            assert_eq!(found(lines), None, "{lines:x?}");
        }
        assert_eq!(found(&[CODE, REST, (0xf000, 0x10000, "rw-s", 0xe000, 7)]), None);
    }
}
