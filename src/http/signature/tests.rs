use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

// The vectors were computed once with an independent implementation (Python).
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BODY: &str = r#"{"order":"A-17","n":1}"#;
const SIGNATURE: &str = "v1,4SoZJ4xj5svQhk5N4NMbnvuuYkLyuI8DEqi781d9zEg=";
const NOW: Timestamp = Timestamp(1_764_000_000_500);

fn request(headers: &[(&str, &str)], body: &str) -> Inbound {
    Inbound {
        method: "POST".to_owned(),
        path: "/hooks/iga".to_owned(),
        query: Default::default(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body: body.as_bytes().to_vec(),
        peer: None,
        client_certificate: None,
        received_at: NOW,
    }
}

fn standard(secrets: &[&str]) -> Scheme {
    Scheme::StandardWebhooks {
        secrets: secrets.iter().map(|s| SecretString::from(*s)).collect(),
        public_keys: Vec::new(),
        tolerance_secs: 300,
    }
}

fn signed(id: &str, timestamp: &str, signature: &str) -> Inbound {
    request(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)], BODY)
}

#[test]
fn a_known_vector_is_made_and_accepted() {
    let ours = sign_standard(&SecretString::from(SECRET), "msg_lm_0001", NOW, BODY.as_bytes()).unwrap();
    assert_eq!(ours, SIGNATURE);
    let verified = standard(&[SECRET]).verify(signed("msg_lm_0001", "1764000000", SIGNATURE), NOW).unwrap();
    assert_eq!(verified.delivery_id(), Some("msg_lm_0001"));
}

#[test]
fn secrets_rotate_on_either_side_and_unknown_versions_are_passed_over() {
    let other = "whsec_//8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRo=";
    let list = format!("v1a,abc v2,def v1,not-base-64 v1,AAAA {SIGNATURE}");
    assert!(standard(&[other, SECRET]).verify(signed("msg_lm_0001", "1764000000", &list), NOW).is_ok());
    let refused = standard(&[other]).verify(signed("msg_lm_0001", "1764000000", &list), NOW);
    assert_eq!(refused.unwrap_err(), Refusal::Signature);
    let unknown = standard(&[SECRET]).verify(signed("msg_lm_0001", "1764000000", "v2,AAAA"), NOW);
    assert_eq!(unknown.unwrap_err(), Refusal::Header("webhook-signature".to_owned()));
}

#[test]
fn every_signed_part_matters() {
    let scheme = standard(&[SECRET]);
    for (id, timestamp) in [("msg_lm_0002", "1764000000"), ("msg_lm_0001", "1764000001")] {
        assert_eq!(scheme.verify(signed(id, timestamp, SIGNATURE), NOW).unwrap_err(), Refusal::Signature);
    }
    let mut changed = signed("msg_lm_0001", "1764000000", SIGNATURE);
    changed.body[2] ^= 1;
    assert_eq!(scheme.verify(changed, NOW).unwrap_err(), Refusal::Signature);
}

#[test]
fn id_and_timestamp_must_exist_and_hold_no_dot() {
    let scheme = standard(&[SECRET]);
    let cases = [("", "1764000000", "webhook-id"), ("a.b", "1764000000", "webhook-id"), ("a", "1.5", "webhook-timestamp")];
    for (id, timestamp, header) in cases {
        let refusal = scheme.verify(signed(id, timestamp, SIGNATURE), NOW).unwrap_err();
        assert_eq!(refusal, Refusal::Header(header.to_owned()));
    }
    assert!(sign_standard(&SecretString::from(SECRET), "a.b", NOW, b"").is_err());
}

#[test]
fn the_tolerance_holds_both_ways() {
    let scheme = standard(&[SECRET]);
    let at = |secs| scheme.verify(signed("msg_lm_0001", "1764000000", SIGNATURE), Timestamp(1_764_000_000_000).plus_secs(secs));
    assert!(at(300).is_ok() && at(-300).is_ok());
    assert_eq!(at(301).unwrap_err(), Refusal::Stale(301, 300));
    assert_eq!(at(-301).unwrap_err(), Refusal::Stale(301, 300));
}

#[test]
fn a_secret_that_is_no_base_64_is_found_at_start_and_never_shown() {
    let refusal = standard(&["whsec_not base64!"]).check().unwrap_err();
    assert!(matches!(&refusal, Refusal::Secret(words) if !words.contains("not base64")));
    assert!(standard(&[]).check().is_err());
    let short = standard(&["whsec_c2hvcnQ="]).check().unwrap_err().to_string();
    assert!(short.contains("5 bytes") && short.contains("24"), "{short}");
    assert!(standard(&[SECRET]).check().is_ok());
    assert!(!format!("{:?}", standard(&[SECRET])).contains("AAEC"));
}

fn hmac(algorithm: HmacAlgorithm, encoding: Encoding, signed: &str) -> Scheme {
    let construction = Construction {
        header: "x-signature".to_owned(),
        prefix: "s=".to_owned(),
        algorithm,
        encoding,
        signed: signed.to_owned(),
        timestamp_header: signed.contains("{timestamp}").then(|| "x-time".to_owned()),
        tolerance_secs: 60,
        id_header: Some("x-id".to_owned()),
    };
    Scheme::Hmac { construction, secrets: vec![SecretString::from("old"), SecretString::from("it's a secret")] }
}

#[test]
fn known_hmac_vectors() {
    let body = r#"{"issue":"IAM-12"}"#;
    let headers = |signature| [("x-signature", signature), ("x-time", "1764000000"), ("x-id", "d-1")];
    for (scheme, signature) in [
        (
            hmac(HmacAlgorithm::Sha256, Encoding::Hex, "{body}"),
            "s=9b78bb162a7da369a613f7e80781611e21fcd7e01c6633189fe2bb34fca5e051",
        ),
        (hmac(HmacAlgorithm::Sha1, Encoding::Hex, "{body}"), "s=ecf40fbc7c12f0f9fa6f65219ff1d810697938b5"),
        (
            hmac(HmacAlgorithm::Sha256, Encoding::Base64, "v0:{timestamp}:{body}"),
            "s=ibUNl42o0/xfByIttVGM+HFLmeFIj9OtPfzbduoVRpE=",
        ),
    ] {
        let verified = scheme.verify(request(&headers(signature), body), NOW).unwrap();
        assert_eq!(verified.delivery_id(), Some("d-1"));
        assert_eq!(scheme.verify(request(&headers(signature), "{}"), NOW).unwrap_err(), Refusal::Signature);
        let bare = signature.trim_start_matches("s=");
        assert!(matches!(scheme.verify(request(&headers(bare), body), NOW), Err(Refusal::Header(_))));
    }
    let timed = hmac(HmacAlgorithm::Sha256, Encoding::Base64, "v0:{timestamp}:{body}");
    let late = timed.verify(request(&headers("s=ibUNl42o0/xfByIttVGM+HFLmeFIj9OtPfzbduoVRpE="), body), NOW.plus_secs(61));
    assert_eq!(late.unwrap_err(), Refusal::Stale(61, 60));
}

#[test]
fn a_token_must_fit_whole() {
    let scheme = Scheme::Token {
        header: "authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        id_header: None,
        secrets: vec![SecretString::from("one"), SecretString::from("two")],
    };
    let with = |value| scheme.verify(request(&[("authorization", value)], ""), NOW);
    assert!(with("Bearer two").is_ok());
    assert_eq!(with("Bearer tw").unwrap_err(), Refusal::Signature);
    assert_eq!(with("Bearer twoo").unwrap_err(), Refusal::Signature);
    assert_eq!(with("two").unwrap_err(), Refusal::Header("authorization".to_owned()));
    assert!(scheme.verify(request(&[], ""), NOW).is_err());
}

#[test]
fn a_construction_may_sign_the_id_and_write_its_time_in_several_ways() {
    let body = r#"{"issue":"IAM-12"}"#;
    let scheme = hmac(HmacAlgorithm::Sha256, Encoding::Hex, "{id}.{timestamp}.{body}");
    let signature = "s=025955c91f7fd0c7e4f3c1692f7956e360f60efae3d15b34bbef9a3223df0814";
    let with =
        |id: &str| scheme.verify(request(&[("x-signature", signature), ("x-time", "1764000000"), ("x-id", id)], body), NOW);
    assert_eq!(with("d-1").unwrap().delivery_id(), Some("d-1"));
    assert_eq!(with("d-2").unwrap_err(), Refusal::Signature, "another id is another message");
    assert_eq!(with("d.1").unwrap_err(), Refusal::Header("x-id".to_owned()), "its separator would hide where it ends");
    assert_eq!(with("").unwrap_err(), Refusal::Header("x-id".to_owned()));

    let scheme = hmac(HmacAlgorithm::Sha256, Encoding::Base64, "{body}{timestamp}");
    let signature = "s=/0GFHmzuspK6n1zU1Vg5T7A3iXbDzZVMmkk7mBX1ojY=";
    let headers = [("x-signature", signature), ("x-time", "2025-11-24T16:00:00Z")];
    assert!(scheme.verify(request(&headers, body), NOW).is_ok());
    let late = scheme.verify(request(&headers, body), NOW.plus_secs(61)).unwrap_err();
    assert_eq!(late, Refusal::Stale(61, 60));

    // The farthest number there is.
    let ancient = i64::MIN.to_string();
    let mac = mac_sha256(b"old", &[body.as_bytes(), ancient.as_bytes()]).unwrap().finalize().into_bytes();
    let signature = format!("s={}", STANDARD.encode(mac));
    let refused = scheme.verify(request(&[("x-signature", &signature), ("x-time", &ancient)], body), NOW).unwrap_err();
    assert!(matches!(refused, Refusal::Stale(..)), "{refused}");
}

#[test]
fn a_construction_that_proves_nothing_is_refused() {
    let said = |signed, timestamp, id| check_construction(signed, timestamp, id).unwrap_err();
    assert!(said("{timestamp}", Some("t"), None).contains("{body}"));
    assert!(said("{body}{body}", None, None).contains("once"));
    assert!(said("{body}.{when}", None, None).contains("braces"));
    assert!(said("{timestamp}.{body}", None, None).contains("timestamp_header"));
    assert!(said("{id}.{body}", None, None).contains("id_header"));
    assert!(said("{body}", Some("t"), None).contains("not signed"));
    assert!(said("{id}{body}", None, Some("i")).contains("separator"));
    assert!(check_construction("v0:{id}:{timestamp}{body}", Some("t"), Some("i")).is_ok());
}

#[test]
fn hub_signatures_name_their_digest() {
    let body = r#"{"issue":"IAM-12"}"#;
    let hub = |sha1| Scheme::HubSignature {
        sha1,
        id_header: Some("x-github-delivery".to_owned()),
        secrets: vec![SecretString::from("old"), SecretString::from("it's a secret")],
    };
    const STRONG: &str = "sha256=9b78bb162a7da369a613f7e80781611e21fcd7e01c6633189fe2bb34fca5e051";
    const WEAK: &str = "sha1=ecf40fbc7c12f0f9fa6f65219ff1d810697938b5";
    let verify = |sha1, headers: &[(&str, &str)]| hub(sha1).verify(request(headers, body), NOW);
    let verified = verify(false, &[("x-hub-signature-256", STRONG), ("x-github-delivery", "d-9")]).unwrap();
    assert_eq!((verified.delivery_id(), verified.body_only()), (Some("d-9"), true));
    assert!(verify(false, &[("x-hub-signature", STRONG)]).is_ok());
    assert!(verify(true, &[("x-hub-signature", WEAK)]).is_ok());
    assert!(verify(false, &[("x-hub-signature", WEAK)]).is_err(), "only where it is allowed");
    assert!(verify(true, &[("x-hub-signature-256", WEAK)]).is_err());
    let both = [("x-hub-signature-256", &STRONG.replace('9', "8")[..]), ("x-hub-signature", WEAK)];
    assert_eq!(verify(true, &both).unwrap_err(), Refusal::Signature, "the stronger one counts");
    for bare in ["", "9b78", "md5=00", "sha256=zz", "sha256="] {
        assert!(verify(true, &[("x-hub-signature", bare)]).is_err(), "{bare}");
    }
}

/// Key and signature were made with an independent implementation.
const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const PRIVATE: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ED25519: &str = "v1a,5RSPxR4aelwbVBPtXKMETIX/CHmbIjutcjhxW+akpCRskOueiTQ0E7bvCbXu/g+fUM9kcFAEwm3V3tVAk81vDQ==";

fn asymmetric(secrets: &[&str]) -> Scheme {
    let secrets = secrets.iter().map(|s| SecretString::from(*s)).collect();
    Scheme::StandardWebhooks { secrets, public_keys: vec![PUBLIC.parse().unwrap()], tolerance_secs: 300 }
}

#[test]
fn an_ed25519_vector_is_made_and_accepted() {
    let ours = sign_standard(&SecretString::from(PRIVATE), "msg_lm_0001", NOW, BODY.as_bytes()).unwrap();
    assert_eq!(ours, ED25519);
    let scheme = asymmetric(&[]);
    assert!(scheme.check().is_ok());
    assert_eq!(scheme.verify(signed("msg_lm_0001", "1764000000", ED25519), NOW).unwrap().delivery_id(), Some("msg_lm_0001"));
    let refused = |id, at, signature| scheme.verify(signed(id, at, signature), NOW).unwrap_err();
    assert_eq!(refused("msg_lm_0002", "1764000000", ED25519), Refusal::Signature);
    assert_eq!(refused("msg_lm_0001", "1764000001", ED25519), Refusal::Signature);
    let header = Refusal::Header("webhook-signature".to_owned());
    assert_eq!(refused("msg_lm_0001", "1764000000", SIGNATURE), header, "there is no secret for v1");
    assert_eq!(refused("msg_lm_0001", "1764000000", "v1a,AAAA"), Refusal::Signature, "too short to be one");
    let late = scheme.verify(signed("msg_lm_0001", "1764000000", ED25519), NOW.plus_secs(301)).unwrap_err();
    assert_eq!(late, Refusal::Stale(301, 300));
    // A v1 secret is no v1a key and the other way round; both may be listed while a sender changes over.
    let both = asymmetric(&[SECRET]);
    for signature in [ED25519, SIGNATURE, &format!("{SIGNATURE} {ED25519}")] {
        assert!(both.verify(signed("msg_lm_0001", "1764000000", signature), NOW).is_ok());
    }
}

#[test]
fn keys_in_the_wrong_place_are_told() {
    for wrong in ["A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "whpk_AAAA", PRIVATE, SECRET] {
        assert!(wrong.parse::<PublicKey>().unwrap_err().contains("whpk_"));
    }
    let refusal = standard(&[PUBLIC]).check().unwrap_err().to_string();
    assert!(refusal.contains("public_keys"), "{refusal}");
    assert!(check_signing(&SecretString::from("whsk_AAAA")).unwrap_err().to_string().contains("Ed25519"));
}

#[test]
fn a_client_certificate_must_be_one_that_is_named() {
    let certificate = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        crate::http::ClientCertificate::read(made.der())
    };
    let scheme = Scheme::ClientCertificate {
        pins: vec![Pin { dns: Some("idm.example.com".to_owned()), ..Pin::default() }],
        id_header: Some("x-id".to_owned()),
    };
    let with = |client_certificate| scheme.verify(Inbound { client_certificate, ..request(&[("x-id", "d-1")], BODY) }, NOW);
    let verified = with(certificate("idm.example.com")).unwrap();
    assert_eq!((verified.delivery_id(), verified.body_only()), (Some("d-1"), false));
    assert!(with(certificate("other.example.com")).unwrap_err().to_string().contains("not one of those"));
    assert!(with(None).unwrap_err().to_string().contains("[server.tls]"));
}
