//! Orders asked about one by one: what one of them hides, it hides of itself alone.

use std::future::Future;

use super::Missing;
use crate::http::{CallError, gate};

/// So many that cannot be read, and none that can: it is the platform.
const AWAY_AFTER: usize = 20;
/// So many that take as long as a call may: it is the platform, and a look must end.
const SLOW_MOST: usize = 3;

/// The answers in the order asked. One that cannot be read is passed over, and said to be.
///
/// # Errors
/// The platform is away, or wants patience: nothing is said of any.
pub(super) async fn one_by_one<F>(asked: impl Iterator<Item = F> + Send) -> Result<Vec<Missing>, CallError>
where
    F: Future<Output = Result<Missing, CallError>> + Send,
{
    let (mut words, mut slow, mut read) = (Vec::new(), 0, false);
    for question in asked {
        match question.await.map_err(CallError::of_a_read) {
            Ok(word) => {
                read = true;
                words.push(word);
            }
            Err(error) => {
                let away = matches!(error.code(), "E-CONNECT" | "E-BUSY" | gate::HELD);
                slow += usize::from(matches!(error.code(), "E-TIMEOUT" | "E-BROKEN"));
                if away || slow >= SLOW_MOST || (!read && words.len() + 1 >= AWAY_AFTER) {
                    return Err(error);
                }
                words.push(Missing::Unreadable(error));
            }
        }
    }
    Ok(words)
}

/// What is to be said of those that were passed over; none: all were read.
#[must_use]
pub fn passed_over(words: &[Missing]) -> Option<CallError> {
    let errors = || words.iter().filter_map(|word| if let Missing::Unreadable(error) = word { Some(error) } else { None });
    let first = errors().next()?;
    let (unread, all) = (errors().count(), words.len());
    let reason = format!("{unread} of {all} orders could not be asked about and stay as they are: {}", first.reason());
    Some(CallError::retry(first.code(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(answers: &[Result<Missing, CallError>]) -> Result<Vec<Missing>, CallError> {
        one_by_one(answers.iter().cloned().map(std::future::ready)).await
    }

    #[tokio::test]
    async fn one_that_cannot_be_read_is_passed_over_and_told_and_the_others_are_answered() {
        let broken = CallError::unclear("E-SERVER", "idm answered 500");
        let words = asked(&[Ok(Missing::Withdrawn), Err(broken.clone()), Ok(Missing::Unknown)]).await.unwrap();
        assert_eq!(words, [Missing::Withdrawn, Missing::Unreadable(broken.of_a_read()), Missing::Unknown]);
        let told = passed_over(&words).unwrap();
        assert!(told.code() == "E-SERVER" && told.reason().starts_with("1 of 3 orders"), "{told}");
        assert_eq!(passed_over(&words[..1]), None);
    }

    #[tokio::test]
    async fn a_platform_that_is_away_says_nothing_of_any() {
        let (server, slow) = (CallError::unclear("E-SERVER", "500"), CallError::unclear("E-TIMEOUT", "late"));
        for code in ["E-CONNECT", "E-BUSY", gate::HELD] {
            let answers = [Ok(Missing::Withdrawn), Err(CallError::retry(code, ""))];
            assert_eq!(asked(&answers).await.map_err(|e| e.code()), Err(code));
        }
        assert_eq!(asked(&vec![Err(server.clone()); AWAY_AFTER]).await.map_err(|e| e.code()), Err("E-SERVER"));
        let mut some = vec![Err(server); AWAY_AFTER];
        some.insert(AWAY_AFTER - 1, Ok(Missing::Withdrawn));
        assert_eq!(asked(&some).await.map(|words| words.len()), Ok(AWAY_AFTER + 1), "however many, where one can be read");
        let answers: Vec<_> = std::iter::once(Ok(Missing::Unknown)).chain(vec![Err(slow); SLOW_MOST]).collect();
        assert_eq!(asked(&answers).await.map_err(|e| e.code()), Err("E-TIMEOUT"));
        assert!(asked(&answers[..SLOW_MOST]).await.is_ok());
    }
}
