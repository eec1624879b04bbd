<resource schema="casaprov">
  <!-- Published crates in a DaCHS: /var/gavo/inputs/casaprov/q.rd. See README.md beside this file. -->
  <meta name="creationDate">2026-11-30T00:00:00Z</meta>
  <meta name="title">Reproducible reductions in CASA notebooks</meta>
  <meta name="description">Published crates: notebooks with the record of every CASA task, their products, and the
    verdict of the archive's own replay. Each is tied to the observations that it started from.</meta>
  <meta name="subject">very-long-baseline-interferometry</meta>
  <meta name="subject">astronomy-software</meta>
  <meta name="creator">The archive's users</meta>
  <meta name="coverage.waveband">Radio</meta>

  <table id="crates" onDisk="True" adql="True" primary="crate_did">
    <publish sets="ivo_managed,local"/>
    <meta name="description">Published crates, one row for each version.</meta>
    <meta name="_associatedDatalinkService">
      <meta name="serviceId">cdl</meta>
      <meta name="idColumn">crate_did</meta>
    </meta>
    <index columns="concept_did"/>
    <column name="crate_did" type="text" required="True" ucd="meta.ref.ivoid;meta.main"
      description="Identifier of this version"/>
    <column name="concept_did" type="text" required="True" ucd="meta.ref.ivoid"
      description="Identifier common to all versions"/>
    <column name="version" type="integer" required="True" ucd="meta.version" description="Version, from 1"/>
    <column name="is_latest" type="smallint" required="True" ucd="meta.code"
      description="1 for the newest public version, else 0"/>
    <column name="doi" type="text" ucd="meta.ref.doi" description="DOI, if there is one"/>
    <column name="title" type="unicode" ucd="meta.title;meta.main" description="Title"/>
    <column name="description" type="unicode" ucd="meta.note" description="Description by the authors"/>
    <column name="creators" type="unicode" ucd="meta.bib.author" description="Authors, separated by semicolons"/>
    <column name="license" type="text" ucd="meta.note" description="SPDX name of the licence"/>
    <column name="casa_version" type="text" ucd="meta.version;meta.software"
      description="Version of CASA that the calls were recorded with"/>
    <column name="n_calls" type="integer" required="True" ucd="meta.number" description="Recorded task calls"/>
    <column name="n_products" type="integer" required="True" ucd="meta.number" description="Recorded products"/>
    <column name="verdict" type="text" ucd="meta.code.qual"
      description="Worst verdict on a product in the archive's newest replay: identical, same-content, within-tolerance, not-verifiable, differs or missing; NULL if it was not replayed"/>
    <column name="replayed" type="timestamp" ucd="time.processing" description="Time of that replay (UTC)"/>
    <column name="access_url" type="text" ucd="meta.ref.url" displayHint="type=url" description="The crate"/>
    <column name="access_format" type="text" ucd="meta.code.mime" description="Media type of the crate"/>
    <column name="access_estsize" type="bigint" unit="kbyte" ucd="phys.size;meta.file"
      description="Size of the crate"><values nullLiteral="-1"/></column>
    <column name="sha256" type="text" ucd="meta.checksum" description="SHA-256 of the crate"/>
    <column name="landing_url" type="text" ucd="meta.ref.url" displayHint="type=url"
      description="Page about the crate"/>
    <column name="created" type="timestamp" ucd="time.creation" description="Time of publication (UTC)"/>
  </table>

  <table id="crate_inputs" onDisk="True" adql="True">
    <meta name="description">Observations that crates started from, many to many; join with ivoa.obscore.</meta>
    <index columns="crate_did"/>
    <index columns="obs_publisher_did"/>
    <column name="crate_did" type="text" required="True" ucd="meta.ref.ivoid" description="Crate"/>
    <column name="obs_publisher_did" type="text" required="True" ucd="meta.ref.ivoid"
      description="Dataset that it used"/>
    <column name="obs_id" type="text" ucd="meta.id" description="Observation"/>
  </table>

  <!-- Empty tables, which the archive fills: dachs imp casaprov/q create -->
  <data id="create" auto="False">
    <make table="crates"/>
    <make table="crate_inputs"/>
  </data>

  <!-- Or tables from the archive's lists, for a DaCHS on another machine: dachs imp casaprov/q crates_from_csv inputs_from_csv -->
  <data id="crates_from_csv" auto="False">
    <sources>data/crates.csv</sources>
    <csvGrammar enc="utf-8">
      <rowfilter name="empty_is_null">
        <code>
          yield {name: value or None for name, value in row.items()}
        </code>
      </rowfilter>
    </csvGrammar>
    <make table="crates"><rowmaker idmaps="*"/></make>
  </data>
  <data id="inputs_from_csv" auto="False">
    <sources>data/crate_inputs.csv</sources>
    <csvGrammar enc="utf-8"/>
    <make table="crate_inputs"><rowmaker idmaps="*"/></make>
  </data>

  <service id="cdl" allowed="dlmeta">
    <meta name="title">DataLink for crates</meta>
    <datalinkCore>
      <descriptorGenerator>
        <code>
          with base.getTableConn() as conn:
            rows = list(conn.queryToDicts(
              "SELECT * FROM \schema.crates WHERE crate_did=%(did)s", {"did": pubDID}))
            # An observation leads to its own DataLink, if this DaCHS has it in ObsCore.
            obscore = list(conn.queryToDicts("SELECT to_regclass('ivoa.obscore') AS name"))[0]["name"]
            if obscore:
              observed = ("SELECT DISTINCT ON (obs_publisher_did) obs_publisher_did, access_url, access_format"
                " FROM \schema.crate_inputs LEFT JOIN ivoa.obscore USING (obs_publisher_did)")
            else:
              observed = "SELECT obs_publisher_did, NULL AS access_url, NULL AS access_format FROM \schema.crate_inputs"
            inputs = list(conn.queryToDicts(
              observed + " WHERE crate_did=%(did)s ORDER BY obs_publisher_did", {"did": pubDID}))
          if not rows:
            return DatalinkFault.NotFoundFault(pubDID, "There is no such crate")
          found = ProductDescriptor(pubDID, None, None, rows[0]["access_format"], sourceTable="\schema.crates")
          found.row, found.inputs, found.suppressAutoLinks = rows[0], inputs, True
          return found
        </code>
      </descriptorGenerator>
      <metaMaker>
        <code>
          row = descriptor.row
          yield LinkDef(descriptor.pubDID, row["access_url"], semantics="#this", description=row["title"],
            contentType=row["access_format"], contentLength=(row["access_estsize"] or 0)*1000 or None)
          yield LinkDef(descriptor.pubDID, row["landing_url"], semantics="#documentation",
            description="Landing page", contentType="text/html")
          for used in descriptor.inputs:
            yield LinkDef(descriptor.pubDID, used["access_url"] or used["obs_publisher_did"], semantics="#progenitor",
              description="Observation "+used["obs_publisher_did"], contentType=used["access_format"])
        </code>
      </metaMaker>
    </datalinkCore>
  </service>
</resource>
