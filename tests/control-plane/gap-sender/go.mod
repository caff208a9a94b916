// What pods run whose very first packets count; see main.go and ../build.sh.
module netpol.test/gap-sender

go 1.26
