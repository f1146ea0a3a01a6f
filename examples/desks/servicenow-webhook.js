// ServiceNow's side of `webhook = { hmac = … }`: a business rule on the table of the tickets.
//   When: async, after insert and update.  Filter: Correlation ID starts with "lm-".
//   System properties: lastmile.hook         https://lastmile.example.com/hooks/desk/NAME
//                      lastmile.hook.secret  the secret of the desk's file (type: password2)
// Written after ServiceNow's documentation of CertificateEncryption and RESTMessageV2; not tried on a live instance.
// Where it does not fit, a fixed token in a header (`webhook = { token = … }`) needs no script of this kind.
(function executeRule(current) {
  var secret = gs.getProperty('lastmile.hook.secret');
  // Only ids and codes: what the ticket says is read by lastmile itself.
  var body = JSON.stringify({
    table: String(current.getTableName()),
    sys_id: String(current.getUniqueValue()),
    number: String(current.getValue('number')),
    state: String(current.getValue('state')),
    correlation_id: String(current.getValue('correlation_id'))
  });
  var at = String(Math.floor(new GlideDateTime().getNumericValue() / 1000));
  // The key is given, and the signature comes back, in base 64.
  var key = GlideStringUtil.base64Encode(secret);
  var signature = new CertificateEncryption().generateMac(key, 'HmacSHA256', at + '.' + body);

  var request = new sn_ws.RESTMessageV2();
  request.setEndpoint(gs.getProperty('lastmile.hook'));
  request.setHttpMethod('post');
  request.setRequestHeader('Content-Type', 'application/json');
  request.setRequestHeader('X-Lastmile-Timestamp', at);
  request.setRequestHeader('X-Lastmile-Signature', signature);
  request.setRequestBody(body);
  request.executeAsync();
})(current);
