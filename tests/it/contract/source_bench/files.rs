//! The file of each kind.

use lastmile::sandbox::config::MAPPING;
use lastmile::sandbox::midpoint;
use lastmile::sandbox::one_identity::USER;
use lastmile::sandbox::platform::CLIENT_ID;

use super::Kind;

pub(super) fn declared(kind: Kind, url: &str) -> String {
    let tables = match kind {
        Kind::Webhook => {
            "[webhook]\nverify = { scheme = \"standard-webhooks\", secrets = [{ file = \"secrets/platform-hook\" }] }\nevents = \"/data\""
                .to_owned()
        }
        Kind::Cursor => format!(
            "[poll]\nurl = \"{url}/orders?limit=7\"\nschedule = \"1m\"\nauth = {{ bearer = {{ file = \"secrets/platform-list\" }} }}\n\
             list = \"cursor\"\nitems = \"/items\"\npaging = {{ by = \"next_pointer\", pointer = \"/next\" }}\n\
             cursor = {{ field = \"/updatedAt\", parameter = \"since\", overlap = \"10m\", ascending = true }}"
        ),
        Kind::CloudEvents => format!("[webhook]\nverify = {BEARER}\ncloud_events = {{ origins = [\"iga.example.com\"] }}"),
        Kind::Folder => "[file]\nformat = \"json_lines\"\nfolder = \"inbox\"".to_owned(),
        Kind::Upload => format!("[file]\nformat = \"json_lines\"\n[webhook]\nverify = {BEARER}"),
        Kind::Pages => format!(
            "[poll]\nurl = \"{url}/pending\"\nschedule = \"1m\"\nlist = \"snapshot\"\nitems = \"/items\"\n\
             auth = {{ client_credentials = {{ token_url = \"{url}/token\", client_id = \"{CLIENT_ID}\", \
             client_secret = {{ file = \"secrets/platform-list\" }} }} }}\n\
             paging = {{ by = \"page\", size_parameter = \"limit\", size = 7, total = \"/total\" }}"
        ),
        _ => format!(
            "[poll]\nurl = \"{url}/pending\"\nschedule = \"1m\"\nauth = {{ bearer = {{ file = \"secrets/platform-list\" }} }}\n\
             list = \"snapshot\"\nitems = \"/items\"\npaging = {{ by = \"offset\", limit = 7, total = \"/total\" }}"
        ),
    };
    let word = kind.word();
    let mapping = if kind == Kind::CloudEvents {
        MAPPING.replace("\"/", "\"/data/").replace("/data/approver", "/approver").replace("/data/decidedAt", "/decidedAt")
    } else {
        MAPPING.to_owned()
    };
    format!(
        "kind = \"{word}\"\n{tables}\n[report]\nurl = \"{url}/completions\"\nsigning = {{ file = \"secrets/platform-report\" }}\n\
         [progress]\nurl = \"{url}/progress\"\nsigning = {{ file = \"secrets/platform-report\" }}\n{mapping}"
    )
}

const BEARER: &str = "{ scheme = \"bearer\", secrets = [{ file = \"secrets/platform-list\" }] }";

/// The orders of a message, one a line.
pub(super) fn lines(body: &[u8]) -> String {
    let message: serde_json::Value = serde_json::from_slice(body).unwrap();
    let one = [message["data"].clone()];
    message["data"].as_array().map_or(&one[..], Vec::as_slice).iter().map(|order| format!("{order}\n")).collect()
}

pub(super) fn one_identity(kind: Kind, url: &str) -> String {
    let server = |table: &str, path: &str| {
        format!("[{table}]\nurl = \"{url}/{path}\"\nuser = \"{USER}\"\npassword = {{ file = \"secrets/oim\" }}\n")
    };
    let way = match kind {
        Kind::ByMethod => "[approval]\npage = 7\nprogress = { column = \"OrderDetail1\" }\n",
        Kind::ByEvent => "[approval]\npage = 7\ndecide = { by = \"event\" }\nprogress = { event = \"LASTMILE_PROGRESS\" }\n",
        Kind::Queue => "[queue]\npage = 7\n",
        _ => {
            "[assignments]\ntable = \"ADSAccountInADSGroup\"\npage = 7\nreport = { event = \"LASTMILE_DONE\", table = \"ADSAccount\" }\nprogress = \"LASTMILE_PROGRESS\"\n"
        }
    };
    let server = if kind == Kind::Queue { server("api_server", "ApiServer") } else { server("application_server", "AppServer") };
    format!("kind = \"one_identity\"\n{server}{way}")
}

pub(super) fn midpoint_file(url: &str) -> String {
    format!(
        "kind = \"midpoint\"\nurl = \"{url}\"\nauth = {{ basic = {{ user = \"{}\", password = {{ file = \"secrets/midpoint\" }} }} }}\n\
         [cases]\npage = 7\n",
        midpoint::USER
    )
}
