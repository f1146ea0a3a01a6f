//! Makes blocks fit a desk's longest text: cut at a block, then at a character, with a visible mark. The block with the
//! key stays, wherever it stands, and so does the last one where it is short.

use super::{Block, Inline};

/// Stands where text was cut.
pub(crate) const SHORTENED: &str = "[… shortened by lastmile]";
/// A last block of at most so many letters is kept.
const SHORT_TAIL: usize = 300;

/// The blocks themselves where `fits` says so, else as much of their beginning as fits with the mark and the tail.
pub(super) fn fit(blocks: &[Block], fits: impl Fn(&[Block]) -> bool) -> Vec<Block> {
    if fits(blocks) {
        return blocks.to_vec();
    }
    let mark = Block::Paragraph(vec![Inline::Text(SHORTENED.to_owned())]);
    let last = blocks.last().filter(|last| blocks.len() > 1 && letters_of(last) <= SHORT_TAIL);
    let whole_body = blocks.len() - usize::from(last.is_some());
    let keyed = (0..whole_body).rev().find(|n| letters_of(&blocks[*n]) <= SHORT_TAIL && carries_key(&blocks[*n]));
    for (keyed, tail) in [(keyed, last), (keyed, None), (None, last), (None, None)] {
        let with = |head: &[Block]| -> Vec<Block> {
            let key = keyed.filter(|n| *n >= head.len()).map(|n| &blocks[n]);
            head.iter().chain([&mark]).chain(key).chain(tail).cloned().collect()
        };
        if !fits(&with(&[])) {
            continue;
        }
        let body = &blocks[..blocks.len() - usize::from(tail.is_some())];
        let whole = most(body.len(), |n| fits(&with(&body[..n])));
        let mut head = body[..whole].to_vec();
        if let Some(next) = body.get(whole) {
            let cut = |letters: usize| -> Vec<Block> { head.iter().cloned().chain(first_letters(next, letters)).collect() };
            let letters = most(letters_of(next), |n| fits(&with(&cut(n))));
            head = cut(letters);
        }
        return with(&head);
    }
    Vec::new()
}

/// Whether a block shows a correlation key, `lm-` and 24 letters.
fn carries_key(block: &Block) -> bool {
    let text = super::to_plain(std::slice::from_ref(block), usize::MAX);
    text.match_indices("lm-").any(|(at, _)| text[at + 3..].bytes().take_while(u8::is_ascii_alphanumeric).count() >= 24)
}

/// The largest `n` up to `max` that is good, where all smaller ones are good too; 0 is taken to be good.
fn most(max: usize, good: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, max);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if good(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

fn letters_of(block: &Block) -> usize {
    match block {
        Block::Heading(_, text) | Block::Paragraph(text) => inline_letters(text),
        Block::List { items, .. } => items.iter().flatten().map(letters_of).sum(),
        Block::Table { header, rows } => rows.iter().flatten().chain(header).map(|cell| inline_letters(cell)).sum(),
        Block::Quote(inner) => inner.iter().map(letters_of).sum(),
        Block::Code(text) => text.chars().count(),
        Block::Rule => 0,
    }
}

fn inline_letters(text: &[Inline]) -> usize {
    text.iter()
        .map(|inline| match inline {
            Inline::Text(text) | Inline::Code(text) => text.chars().count(),
            Inline::Strong(inner) | Inline::Emphasis(inner) | Inline::Link { text: inner, .. } => inline_letters(inner),
            Inline::Break => 1,
        })
        .sum()
}

/// The block's first letters in the same shape; none where not one is left. Headings and tables are not split.
fn first_letters(block: &Block, letters: usize) -> Option<Block> {
    if letters == 0 {
        return None;
    }
    let mut left = letters;
    match block {
        Block::Paragraph(text) => Some(Block::Paragraph(cut_inlines(text, &mut left))),
        Block::Quote(inner) => Some(Block::Quote(cut_blocks(inner, &mut left))),
        Block::List { ordered, items } => {
            let mut kept = Vec::new();
            for item in items {
                if left == 0 {
                    break;
                }
                kept.push(cut_blocks(item, &mut left));
            }
            Some(Block::List { ordered: *ordered, items: kept })
        }
        Block::Code(text) => Some(Block::Code(text.chars().take(left).collect())),
        Block::Heading(..) | Block::Table { .. } | Block::Rule => (letters_of(block) <= left).then(|| block.clone()),
    }
}

fn cut_blocks(blocks: &[Block], left: &mut usize) -> Vec<Block> {
    let mut out = Vec::new();
    for block in blocks {
        out.extend(first_letters(block, *left));
        *left = left.saturating_sub(letters_of(block).max(1));
    }
    out
}

fn cut_inlines(text: &[Inline], left: &mut usize) -> Vec<Inline> {
    let mut out = Vec::new();
    for inline in text {
        if *left == 0 {
            break;
        }
        out.push(match inline {
            Inline::Text(text) => Inline::Text(take(text, left)),
            Inline::Code(text) => Inline::Code(take(text, left)),
            Inline::Strong(inner) => Inline::Strong(cut_inlines(inner, left)),
            Inline::Emphasis(inner) => Inline::Emphasis(cut_inlines(inner, left)),
            Inline::Link { url, text } => Inline::Link { url: url.clone(), text: cut_inlines(text, left) },
            Inline::Break => {
                *left -= 1;
                Inline::Break
            }
        });
    }
    out
}

fn take(text: &str, left: &mut usize) -> String {
    let taken: String = text.chars().take(*left).collect();
    *left -= taken.chars().count();
    taken
}
