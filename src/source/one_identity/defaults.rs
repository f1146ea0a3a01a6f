//! What is built in: conditions, joins and mappings, in the words of a configuration file.
//!
//! Columns of `PersonWantsOrg`, `Person` and `AccProduct` after the typings that the vendor publishes for its portals
//! (9.2); `PWODecisionHistory` after public queries of its users; the condition for the step after the vendor's
//! documentation of "approvals to be made externally". None was tried on a live platform; `check --online` says
//! whether they hold there, and each can be overridden.

use super::settings::Join;

/// Requests in their workflow whose present level is an external approval. A column that does not exist makes the
/// platform refuse the question: the condition fails closed and never shows a request that waits for somebody else.
pub(super) const WAITING_AT_EX: &str = "OrderState in ('OrderProduct', 'OrderProlongate', 'OrderUnsubscribe') \
    and exists (select 1 from PWODecisionStep s join PWODecisionRule r on r.UID_PWODecisionRule = s.UID_PWODecisionRule \
    where s.UID_PWODecisionSubMethod = PersonWantsOrg.UID_PWODecisionSubMethod \
    and s.LevelNumber = PersonWantsOrg.DecisionLevel and r.DecisionRule = 'EX')";

const APPROVAL: &str = r#"
external_id = "/values/UID_PersonWantsOrg"
generation = { pointer = "/history/generation", default = 1 }
operation = { pointer = "/values/OrderState", map = { OrderProduct = "grant", OrderProlongate = "modify", OrderUnsubscribe = "revoke" } }
application = { id = ["/category/values/Ident_AccProductGroup", "/product/values/UID_AccProductGroup"], name = ["/category/values/Ident_AccProductGroup", "/category/display"] }
entitlement = { id = ["/values/UID_AccProduct", "/values/UID_Org"], name = ["/product/values/Ident_AccProduct", "/values/DisplayOrg", "/display"] }
account = "/beneficiary/values/CentralAccount"
beneficiary = { id = "/values/UID_PersonOrdered", name = ["/beneficiary/values/InternalName", "/beneficiary/display"], email = "/beneficiary/values/DefaultEmailAddress" }
requester = { id = "/values/UID_PersonInserted", name = ["/requester/values/InternalName", "/requester/display"], email = "/requester/values/DefaultEmailAddress" }
approvals = { list = "/history/approvals", by = { id = "/id", name = "/name" }, at = "/at" }
requested_at = ["/history/ordered_at", "/values/OrderDate"]
approved_at = ["/history/approved_at", "/values/OrderDate"]
valid_from = "/values/ValidFrom"
valid_until = "/values/ValidUntil"
reason = "/values/OrderReason"
[attributes]
document_number = "/values/DocumentNumber"
"#;

const APPROVAL_JOINS: [(&str, &str, &str); 4] = [
    ("/values/UID_PersonOrdered", "Person", "beneficiary"),
    ("/values/UID_PersonInserted", "Person", "requester"),
    ("/values/UID_AccProduct", "AccProduct", "product"),
    ("/product/values/UID_AccProductGroup", "AccProductGroup", "category"),
];

const QUEUE: &str = r#"
external_id = "/id"
operation = "/operation"
application = { id = "/change/values/UID_UCIRoot", name = "/change/texts/UID_UCIRoot" }
entitlement = { id = "/object/keys/1", name = ["/group/display", "/change/display"] }
account = ["/account/values/AccountName", "/account/display", "/change/display"]
beneficiary = { id = ["/account/values/UID_Person", "/object/keys/0"], name = ["/beneficiary/values/InternalName", "/change/display"], email = "/beneficiary/values/DefaultEmailAddress" }
requested_at = ["/detail/values/CreationDate", "/change/values/XDateInserted"]
approved_at = ["/detail/values/CreationDate", "/change/values/XDateInserted"]
# What is to be changed is what the admin needs to read.
reason = "/changes"
[attributes]
changes = "/changes"
object_table = "/object/table"
"#;

const ASSIGNMENTS: &str = r#"
external_id = "/id"
generation = { pointer = "/stamp", required = true }
operation = { value = "grant" }
application = { id = "/system/values/Ident_ADSDomain", name = ["/system/display", "/system/values/Ident_ADSDomain"] }
entitlement = { id = "/values/UID_GROUP", name = ["/group/display", "/values/UID_GROUP"] }
account = ["/account/values/SAMAccountName", "/account/display"]
beneficiary = { id = ["/account/values/UID_Person", "/values/UID_ACCOUNT"], name = ["/beneficiary/values/InternalName", "/beneficiary/display", "/account/display"], email = "/beneficiary/values/DefaultEmailAddress" }
requested_at = "/values/XDateInserted"
approved_at = "/values/XDateInserted"
"#;

pub(super) fn approval() -> (&'static str, Vec<Join>) {
    (APPROVAL, joins(&APPROVAL_JOINS))
}

/// The queue needs no other reading; what a file joins is read from the application server.
pub(super) fn queue() -> (&'static str, Vec<Join>) {
    (QUEUE, Vec::new())
}

/// Of a table `AccountInGroup`: account, group and person by its name. The system they belong to is only known for
/// Active Directory.
pub(super) fn assignments(table: &str) -> (String, Vec<Join>) {
    let Some((account, group)) = table.split_once("In") else { return (ASSIGNMENTS.to_owned(), Vec::new()) };
    let (account_at, group_at) = (format!("/values/UID_{account}"), format!("/values/UID_{group}"));
    let mut list = vec![
        (account_at.as_str(), account, "account"),
        (group_at.as_str(), group, "group"),
        ("/account/values/UID_Person", "Person", "beneficiary"),
    ];
    if group == "ADSGroup" {
        list.push(("/group/values/UID_ADSDomain", "ADSDomain", "system"));
    }
    let columns = [("UID_ACCOUNT", account), ("UID_GROUP", group)];
    let text = columns.iter().fold(ASSIGNMENTS.to_owned(), |text, (name, of)| text.replace(name, &format!("UID_{of}")));
    (text, joins(&list))
}

fn joins(list: &[(&str, &str, &str)]) -> Vec<Join> {
    let join = |(at, table, name): &(&str, &str, &str)| Join {
        at: (*at).to_owned(),
        table: (*table).to_owned(),
        key: None,
        name: (*name).to_owned(),
    };
    list.iter().map(join).collect()
}
