// What the driver of 2016 expects of the world, and the world has changed since.
const net = require('node:net')

// Since version 14 Node says of a socket which was never connected that it is open: the driver would wait for ever.
net.Stream = class extends net.Socket {
  get readyState() {
    return this.pending && !this.connecting ? 'closed' : super.readyState
  }
}

// PostgreSQL's versions have two numbers since 10; the tests compare them by semantic versioning, which takes three.
const semver = require(require.resolve('semver', { paths: [process.cwd()] }))
const { gte } = semver
semver.gte = (version, than) => gte(/^\d+\.\d+$/.test(version) ? `${version}.0` : version, than)
