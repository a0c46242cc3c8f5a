// Reads an object of documents from stdin, and checks each with jsonapi-validator.
const path = require('path');

const { Validator } = require(path.join(process.argv[2], 'jsonapi-validator'));
const documents = JSON.parse(require('fs').readFileSync(0));
for (const [name, document] of Object.entries(documents)) {
  try {
    new Validator().validate(document);
  } catch (error) {
    console.log(name, error.message, JSON.stringify(error.errors, ['dataPath', 'message']));
    process.exitCode = 1;
  }
}
