//! Walking through the pages of a list, and knowing whether all of it was read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::field::{Pointer, as_text, lookup};
use crate::http::Answer;

/// How the list is divided into pages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "by", rename_all = "snake_case")]
pub enum Paging {
    /// One answer holds everything.
    #[default]
    None,
    /// The body holds the address of the next page; nothing there: the last page.
    NextPointer {
        /// Where it stands.
        pointer: Pointer,
    },
    /// A `Link` header with `rel="next"`; without it: the last page.
    LinkHeader,
    /// By position. Each page is asked for from the last row of the one before, so that rows that move meanwhile are
    /// noticed. Read until a page has nothing new or `total` is reached: servers may give fewer rows than asked for.
    Offset {
        /// Query parameter with the position of the first row.
        #[serde(default = "offset_parameter")]
        offset_parameter: String,
        /// Query parameter with the number of rows.
        #[serde(default = "limit_parameter")]
        limit_parameter: String,
        /// Rows to ask for.
        #[serde(default = "limit")]
        limit: u64,
        /// Where the body holds the number of all rows; with it the completeness of a snapshot is checked.
        #[serde(default)]
        total: Option<Pointer>,
    },
    /// By number. Rows that move from page to page are noticed only where they come twice or `total` says so; a
    /// snapshot therefore takes an order back only when two complete rounds missed it. Read until a page is empty, or
    /// `total` or `pages` is reached.
    Page {
        /// Query parameter with the page's number.
        #[serde(default = "page_parameter")]
        page_parameter: String,
        /// Number of the first page.
        #[serde(default = "first_page")]
        first: u64,
        /// Query parameter with the number of rows, where the platform has one.
        #[serde(default)]
        size_parameter: Option<String>,
        /// Rows to ask for.
        #[serde(default = "limit")]
        size: u64,
        /// Where the body holds the number of all rows; with it the completeness of a snapshot is checked.
        #[serde(default)]
        total: Option<Pointer>,
        /// Where the body holds the number of all pages.
        #[serde(default)]
        pages: Option<Pointer>,
    },
    /// The body holds a token for the next page; nothing there: the last page.
    Token {
        /// Where it stands.
        pointer: Pointer,
        /// Query parameter that takes it.
        parameter: String,
    },
}

fn offset_parameter() -> String {
    "offset".to_owned()
}

fn limit_parameter() -> String {
    "limit".to_owned()
}

fn page_parameter() -> String {
    "page".to_owned()
}

fn first_page() -> u64 {
    1
}

fn limit() -> u64 {
    100
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It was the last one, and nothing speaks against having read everything.
    End,
    /// It was the last one, but rows were missed or moved meanwhile.
    Torn,
    /// This page does not go on where the one before ended: rows moved meanwhile.
    Moved,
    /// This address.
    Page(Url),
}

impl Paging {
    /// Address of the first page.
    #[must_use]
    pub fn first(&self, base: &Url) -> Url {
        match self {
            Self::Offset { offset_parameter, limit_parameter, limit, .. } => {
                with(&with(base, offset_parameter, "0"), limit_parameter, &limit.to_string())
            }
            Self::Page { page_parameter, first, size_parameter, size, .. } => {
                let page = with(base, page_parameter, &first.to_string());
                size_parameter.as_ref().map_or(page.clone(), |name| with(&page, name, &size.to_string()))
            }
            _ => base.clone(),
        }
    }

    /// Rows are told by where they stand, which may change while pages are read.
    #[must_use]
    pub fn by_position(&self) -> bool {
        matches!(self, Self::Offset { .. } | Self::Page { .. })
    }

    /// What comes after the page at `here`, which had `rows` rows; `read` rows were read with it in all.
    ///
    /// # Errors
    /// Words for people when the platform's next address cannot be followed.
    pub fn next(&self, here: &Url, answer: &Answer, body: &Value, rows: u64, read: u64) -> Result<Next, String> {
        match self {
            Self::None => Ok(Next::End),
            Self::NextPointer { pointer } => match lookup(body, pointer.as_str()).and_then(Value::as_str) {
                Some(link) => follow(here, link),
                None => Ok(Next::End),
            },
            Self::LinkHeader => match answer.header("link").and_then(next_of_link) {
                Some(link) => follow(here, link),
                None => Ok(Next::End),
            },
            Self::Token { pointer, parameter } => match lookup(body, pointer.as_str()).and_then(as_text) {
                Some(token) => Ok(Next::Page(with(here, parameter, &token))),
                None => Ok(Next::End),
            },
            Self::Offset { offset_parameter, total, .. } => {
                let next = || with(here, offset_parameter, &read.saturating_sub(1).to_string());
                Ok(counted(body, total.as_ref(), rows, read).unwrap_or_else(|| Next::Page(next())))
            }
            Self::Page { page_parameter, first, total, pages, .. } => {
                let number = here.query_pairs().find(|(name, _)| name == page_parameter);
                let number = number.and_then(|(_, value)| value.parse::<u64>().ok()).unwrap_or(*first);
                let last = pages.as_ref().and_then(|pointer| lookup(body, pointer.as_str())?.as_u64());
                let ends = last.is_some_and(|pages| number.saturating_sub(*first) + 1 >= pages);
                Ok(match counted(body, total.as_ref(), rows, read) {
                    Some(end) => end,
                    None if ends && total.is_some() => Next::Torn,
                    None if ends => Next::End,
                    None => Next::Page(with(here, page_parameter, &number.saturating_add(1).to_string())),
                })
            }
        }
    }
}

/// Whether a list that is told by position ends with this page; `None`: it goes on.
fn counted(body: &Value, total: Option<&Pointer>, rows: u64, read: u64) -> Option<Next> {
    let total = total.map(|pointer| lookup(body, pointer.as_str()).and_then(Value::as_u64));
    match (total, rows) {
        (Some(Some(total)), _) if read == total => Some(Next::End),
        (Some(Some(total)), _) if read > total => Some(Next::Torn),
        (Some(_), 0) => Some(Next::Torn),
        (None, 0) => Some(Next::End),
        _ => None,
    }
}

/// An address of the platform's own: our credentials never follow it to another host.
fn follow(here: &Url, link: &str) -> Result<Next, String> {
    let next = here.join(link).map_err(|_| "the address of the next page is no address".to_owned())?;
    if next.origin() != here.origin() {
        return Err("the address of the next page leads to another host; it is not followed".to_owned());
    }
    Ok(Next::Page(next))
}

/// The address with a query parameter set, instead of an earlier value of it.
#[must_use]
pub fn with(url: &Url, name: &str, value: &str) -> Url {
    let kept: Vec<(String, String)> = url.query_pairs().filter(|(k, _)| k != name).map(|(k, v)| (k.into(), v.into())).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
    url
}

fn next_of_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|entry| {
        let (address, parameters) = entry.split_once('>')?;
        let next = parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        next.then(|| address.trim().strip_prefix('<')).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(link: &str) -> Answer {
        Answer { status: 200, headers: [("link".to_owned(), link.to_owned())].into(), body: Vec::new() }
    }

    fn base() -> Url {
        Url::parse("https://iga.example/orders?state=open").unwrap()
    }

    #[test]
    fn links_are_followed_on_the_same_host_only() {
        let paging = Paging::LinkHeader;
        let next = |link: &str| paging.next(&base(), &answer(link), &Value::Null, 1, 1);
        let Next::Page(url) = next("</a>; rel=\"prev\", </orders?page=2>; rel=\"next\"").unwrap() else { panic!("no next page") };
        assert_eq!(url.as_str(), "https://iga.example/orders?page=2");
        assert_eq!(next("</a>; rel=\"prev\"").unwrap(), Next::End);
        assert!(next("<https://evil.example/orders>; rel=\"next\"").unwrap_err().contains("another host"));
        assert!(next("<http://iga.example/orders>; rel=\"next\"").is_err(), "not without TLS either");
    }

    #[test]
    fn an_offset_list_is_whole_only_when_the_numbers_agree() {
        let paging = Paging::Offset {
            offset_parameter: "offset".into(),
            limit_parameter: "limit".into(),
            limit: 2,
            total: Some(serde_json::from_value(json!("/total")).unwrap()),
        };
        let first = paging.first(&base());
        assert_eq!(first.query(), Some("state=open&offset=0&limit=2"));
        let next = |total: u64, rows, read| paging.next(&first, &answer(""), &json!({ "total": total }), rows, read).unwrap();
        assert_eq!(next(2, 2, 2), Next::End);
        assert_eq!(next(1, 2, 2), Next::Torn);
        assert_eq!(next(3, 0, 2), Next::Torn);
        assert!(matches!(next(3, 2, 2), Next::Page(url) if url.query() == Some("state=open&limit=2&offset=1")));
    }

    #[test]
    fn pages_are_counted_from_the_first_to_an_empty_one() {
        let paging: Paging = toml::from_str("by = 'page'\nfirst = 0\nsize_parameter = 'size'\nsize = 2").unwrap();
        let first = paging.first(&base());
        assert_eq!(first.query(), Some("state=open&page=0&size=2"));
        let Next::Page(second) = paging.next(&first, &answer(""), &json!({}), 2, 2).unwrap() else { panic!("no page") };
        assert_eq!(second.query(), Some("state=open&size=2&page=1"));
        assert!(matches!(paging.next(&second, &answer(""), &json!({}), 1, 3).unwrap(), Next::Page(_)), "a short page is no end");
        assert_eq!(paging.next(&second, &answer(""), &json!({}), 0, 2).unwrap(), Next::End);
        let counted: Paging = toml::from_str("by = 'page'\ntotal = '/total'\npages = '/pages'").unwrap();
        let next = |total: u64, pages: u64, rows, read| {
            counted.next(&counted.first(&base()), &answer(""), &json!({"total": total, "pages": pages}), rows, read).unwrap()
        };
        assert_eq!(next(2, 1, 2, 2), Next::End);
        assert_eq!(next(3, 1, 2, 2), Next::Torn, "the last page, and one row is missing");
        assert!(matches!(next(3, 2, 2, 2), Next::Page(url) if url.query() == Some("state=open&page=2")));
    }

    #[test]
    fn a_token_takes_the_place_of_the_one_before() {
        let paging = Paging::Token { pointer: serde_json::from_value(json!("/next")).unwrap(), parameter: "page".into() };
        let here = with(&base(), "page", "a&b");
        let next = paging.next(&here, &answer(""), &json!({"next": "c=d"}), 1, 1).unwrap();
        assert!(matches!(next, Next::Page(url) if url.query() == Some("state=open&page=c%3Dd")));
        assert_eq!(paging.next(&here, &answer(""), &json!({"next": null}), 1, 1).unwrap(), Next::End);
    }
}
