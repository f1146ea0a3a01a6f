//! One round of intake, as the platform of each kind takes part in it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use lastmile::flow::Pauses;
use lastmile::flow::intake::{self, PollError};
use lastmile::http::{CallError, Inbound};
use serde_json::json;

use super::files::lines;
use super::{Bench, Kind};

impl Bench {
    /// One round of intake: a poll, or every message that waits.
    pub(in super::super) async fn round(&self) -> Result<(), CallError> {
        self.clock.advance_ms(60_000);
        if let Some(asking) = self.asking() {
            return asking.round(self).await;
        }
        if let Some(fake) = self.entra() {
            return super::super::source_waits::round(self, fake).await;
        }
        if self.kind == Kind::Folder {
            return self.round_of_files().await;
        }
        if !self.kind.is_pushed() {
            return match intake::poll(&self.ledger, &*self.source, &Pauses::default(), &*self.clock).await {
                Ok(_) => Ok(()),
                Err(PollError::Call(error)) => Err(error),
                Err(error) => panic!("{error}"),
            };
        }
        if self.platform().faults().gone.load(Ordering::SeqCst) {
            return Err(CallError::retry("E-CONNECT", "nobody sends"));
        }
        for ((headers, body), message) in self.platform().messages().into_iter().zip(self.platform().state().waiting()) {
            let inbound = Inbound {
                method: "POST".to_owned(),
                path: "/hooks/iga".to_owned(),
                query: BTreeMap::new(),
                headers: self.headers(headers),
                body: self.body(&message.id, body),
                peer: None,
                client_certificate: None,
                received_at: self.now(),
            };
            if self.kind == Kind::Upload {
                let answers = intake::take_rows(&self.ledger, &*self.source, inbound, self.now()).await.unwrap();
                assert!(!answers.is_empty() && answers.iter().all(|a| a.result != "quarantined"), "{answers:?}");
            } else {
                intake::take(&self.ledger, &*self.source, inbound, self.now()).await.unwrap();
            }
            self.platform().state().delivered(&message.id);
        }
        Ok(())
    }

    fn headers(&self, signed: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let named = |pairs: [(&str, &str); 2]| pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        match self.kind {
            Kind::CloudEvents => {
                named([("authorization", "bearer sandbox-list-token"), ("content-type", "application/cloudevents+json")])
            }
            Kind::Upload => named([("authorization", "Bearer sandbox-list-token"), ("content-type", "application/x-ndjson")]),
            _ => signed,
        }
    }

    fn body(&self, id: &str, body: Vec<u8>) -> Vec<u8> {
        match self.kind {
            Kind::CloudEvents => {
                let data: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let data = data["data"].as_array().map_or(data["data"].clone(), |listed| listed[0].clone());
                json!({"specversion": "1.0", "id": id, "source": "/sandbox", "type": "order", "data": data})
                    .to_string()
                    .into_bytes()
            }
            Kind::Upload => lines(&body).into_bytes(),
            _ => body,
        }
    }

    /// The platform writes what it has to say as a file, and the folder is looked at until it is worked through.
    async fn round_of_files(&self) -> Result<(), CallError> {
        let inbox = self.folder.path().join("inbox");
        if let Some((path, rest)) = self.rest.lock().unwrap().take() {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text + &rest).unwrap();
        }
        let torn = self.torn.load(Ordering::SeqCst);
        if inbox.exists() {
            let waiting = self.platform().state().waiting();
            let text: String = waiting.iter().map(|message| lines(message.body.as_bytes())).collect();
            waiting.iter().for_each(|message| self.platform().state().delivered(&message.id));
            if !text.is_empty() {
                let path = inbox.join(format!("{}.jsonl", self.now().0));
                let half = if torn { text.len() / 2 } else { text.len() };
                std::fs::write(&path, &text[..half]).unwrap();
                *self.rest.lock().unwrap() = torn.then(|| (path, text[half..].to_owned()));
            }
        }
        for _ in 0..if torn { 1 } else { 3 } {
            match intake::poll(&self.ledger, &*self.source, &Pauses::default(), &*self.clock).await {
                Ok(polled) => assert_eq!(polled.broken, None),
                Err(PollError::Call(error)) => return Err(error),
                Err(error) => panic!("{error}"),
            }
            self.clock.advance_ms(10_000);
        }
        Ok(())
    }
}
